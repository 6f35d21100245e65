import java.util.List;
import java.util.Set;
import org.apache.curator.framework.CuratorFramework;

/** One recipe of Curator as the agent sees it: verbs with words, answered with words. */
interface Recipe {
    /** What a recipe has to say without being asked. */
    interface News {
        void tell(Object... words);
    }

    /** Answers one verb; whatever it throws becomes the answer `error`. */
    List<?> perform(String verb, List<String> words) throws Exception;

    /** Verbs that only look, and may run while another verb waits. */
    default Set<String> asides() {
        return Set.of();
    }

    /** Gives back what it holds; called once, before the session is closed. */
    default void close() throws Exception {}

    /** The recipe of a kind; each file of this folder lists its kinds. */
    static Recipe make(String kind, CuratorFramework client, String path, List<String> words, News news)
            throws Exception {
        switch (kind) {
            case "mutex", "readwrite", "semaphore":
                return Locks.make(kind, client, path, words);
            case "latch", "selector":
                return Elections.make(kind, client, path, words.get(0), news);
            case "barrier", "double":
                return Barriers.make(kind, client, path, words);
            case "queue", "priority", "delay", "identified", "simple":
                return Queues.make(kind, client, path, words, news);
            case "long", "value", "count":
                return Values.make(kind, client, path, words, news);
            case "node", "member", "discovery":
                return Nodes.make(kind, client, path, words);
            default:
                throw new IllegalArgumentException("unknown kind " + kind);
        }
    }

    /** What a recipe says to a verb that it does not have. */
    static IllegalArgumentException unknown(String verb) {
        return new IllegalArgumentException("unknown verb " + verb);
    }
}
