import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Set;
import java.util.concurrent.Semaphore;
import java.util.concurrent.TimeUnit;
import org.apache.curator.framework.CuratorFramework;
import org.apache.curator.framework.recipes.leader.LeaderLatch;
import org.apache.curator.framework.recipes.leader.LeaderLatchListener;
import org.apache.curator.framework.recipes.leader.LeaderSelector;
import org.apache.curator.framework.recipes.leader.LeaderSelectorListenerAdapter;
import org.apache.curator.framework.recipes.leader.Participant;

/**
 * Elections. Each candidate has an ID, which others may read. News of both: leads, follows.
 *
 * <pre>
 * latch ID      start    await MS -> true|false    leads -> true|false    leader -> its ID    all -> IDs
 *               node -> path of its own node    leave
 * selector ID   start    leads -> true|false    leader -> its ID    all -> IDs
 *               yield (gives the leadership up and queues again)    leave
 * </pre>
 *
 * <p>All but start, await and leave are asides. A selector leads until it is told to yield or leave, or loses its connection.
 */
final class Elections {
    private Elections() {}

    static Recipe make(String kind, CuratorFramework client, String path, String id, Recipe.News news) {
        return kind.equals("latch") ? new Latch(client, path, id, news) : new Selector(client, path, id, news);
    }

    private static List<String> ids(Iterable<Participant> all) {
        List<String> found = new ArrayList<>();
        all.forEach(one -> found.add(one.getId()));
        return found;
    }

    private static final class Latch implements Recipe, LeaderLatchListener {
        private final LeaderLatch latch;
        private final News news;

        Latch(CuratorFramework client, String path, String id, News news) {
            this.news = news;
            latch = new LeaderLatch(client, path, id);
            latch.addListener(this);
        }

        @Override
        public void isLeader() {
            news.tell("leads");
        }

        @Override
        public void notLeader() {
            news.tell("follows");
        }

        @Override
        public List<?> perform(String verb, List<String> words) throws Exception {
            switch (verb) {
                case "start":
                    latch.start();
                    return List.of();
                case "await":
                    return List.of(latch.await(Long.parseLong(words.get(0)), TimeUnit.MILLISECONDS));
                case "leads":
                    return List.of(latch.hasLeadership());
                case "leader":
                    return List.of(latch.getLeader().getId());
                case "all":
                    return ids(latch.getParticipants());
                case "node":
                    return Collections.singletonList(latch.getOurPath());
                case "leave":
                    latch.close(LeaderLatch.CloseMode.NOTIFY_LEADER);
                    return List.of();
                default:
                    throw Recipe.unknown(verb);
            }
        }

        @Override
        public Set<String> asides() {
            return Set.of("leads", "leader", "all", "node");
        }

        @Override
        public void close() throws Exception {
            if (latch.getState() == LeaderLatch.State.STARTED) {
                latch.close();
            }
        }
    }

    private static final class Selector extends LeaderSelectorListenerAdapter implements Recipe {
        private final LeaderSelector selector;
        private final Semaphore given = new Semaphore(0);
        private final News news;
        private volatile boolean open;

        Selector(CuratorFramework client, String path, String id, News news) {
            this.news = news;
            selector = new LeaderSelector(client, path, this);
            selector.setId(id);
            selector.autoRequeue();
        }

        @Override
        public void takeLeadership(CuratorFramework client) throws Exception {
            given.drainPermits();
            news.tell("leads");
            try {
                given.acquire();
            } finally {
                news.tell("follows");
            }
        }

        @Override
        public List<?> perform(String verb, List<String> words) throws Exception {
            switch (verb) {
                case "start":
                    selector.start();
                    open = true;
                    return List.of();
                case "leads":
                    return List.of(selector.hasLeadership());
                case "leader":
                    return List.of(selector.getLeader().getId());
                case "all":
                    return ids(selector.getParticipants());
                case "yield":
                    given.release();
                    return List.of();
                case "leave":
                    close();
                    return List.of();
                default:
                    throw Recipe.unknown(verb);
            }
        }

        @Override
        public Set<String> asides() {
            return Set.of("leads", "leader", "all", "yield");
        }

        @Override
        public void close() {
            if (open) {
                open = false;
                selector.close();
            }
        }
    }
}
