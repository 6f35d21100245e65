import java.util.List;
import java.util.concurrent.TimeUnit;
import org.apache.curator.framework.CuratorFramework;
import org.apache.curator.framework.recipes.barriers.DistributedBarrier;
import org.apache.curator.framework.recipes.barriers.DistributedDoubleBarrier;

/**
 * Barriers. Every wait is in milliseconds, and ends with false.
 *
 * <pre>
 * barrier         set    remove    await MS -> true|false
 * double COUNT    enter MS -> true|false    leave MS -> true|false
 * </pre>
 */
final class Barriers {
    private Barriers() {}

    static Recipe make(String kind, CuratorFramework client, String path, List<String> words) {
        if (kind.equals("barrier")) {
            return new Single(new DistributedBarrier(client, path));
        }
        return new Twofold(new DistributedDoubleBarrier(client, path, Integer.parseInt(words.get(0))));
    }

    private record Single(DistributedBarrier barrier) implements Recipe {
        @Override
        public List<?> perform(String verb, List<String> words) throws Exception {
            switch (verb) {
                case "set":
                    barrier.setBarrier();
                    return List.of();
                case "remove":
                    barrier.removeBarrier();
                    return List.of();
                case "await":
                    return List.of(barrier.waitOnBarrier(Long.parseLong(words.get(0)), TimeUnit.MILLISECONDS));
                default:
                    throw Recipe.unknown(verb);
            }
        }
    }

    private record Twofold(DistributedDoubleBarrier barrier) implements Recipe {
        @Override
        public List<?> perform(String verb, List<String> words) throws Exception {
            switch (verb) {
                case "enter":
                    return List.of(barrier.enter(Long.parseLong(words.get(0)), TimeUnit.MILLISECONDS));
                case "leave":
                    return List.of(barrier.leave(Long.parseLong(words.get(0)), TimeUnit.MILLISECONDS));
                default:
                    throw Recipe.unknown(verb);
            }
        }
    }
}
