import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.Set;
import org.apache.curator.framework.CuratorFramework;
import org.apache.curator.framework.recipes.atomic.AtomicValue;
import org.apache.curator.framework.recipes.atomic.DistributedAtomicLong;
import org.apache.curator.framework.recipes.atomic.PromotedToLock;
import org.apache.curator.framework.recipes.shared.SharedCount;
import org.apache.curator.framework.recipes.shared.SharedCountListener;
import org.apache.curator.framework.recipes.shared.SharedCountReader;
import org.apache.curator.framework.recipes.shared.SharedValue;
import org.apache.curator.framework.recipes.shared.SharedValueListener;
import org.apache.curator.framework.recipes.shared.SharedValueReader;
import org.apache.curator.framework.state.ConnectionState;
import org.apache.curator.retry.RetryNTimes;

/**
 * Values and counters.
 *
 * <pre>
 * long [LOCK]      get -> NUMBER    init NUMBER -> true|false    set NUMBER
 *                  add NUMBER, cas OLD NEW -> true|false BEFORE AFTER.  With a LOCK path, what fails is done under that lock
 * value START      get -> TEXT VERSION (aside)    set TEXT    try TEXT -> true|false.  News: changed TEXT
 * count START      get -> NUMBER VERSION (aside)  set NUMBER  try NUMBER -> true|false.  News: changed NUMBER
 * </pre>
 */
final class Values {
    private static final int TRIES = 10;
    private static final int BETWEEN_MS = 20;

    private Values() {}

    static Recipe make(String kind, CuratorFramework client, String path, List<String> words, Recipe.News news)
            throws Exception {
        switch (kind) {
            case "long":
                return new Number(number(client, path, words));
            case "value":
                return new Value(client, path, words.get(0), news);
            default:
                return new Count(client, path, words.get(0), news);
        }
    }

    private static DistributedAtomicLong number(CuratorFramework client, String path, List<String> words) {
        RetryNTimes retry = new RetryNTimes(TRIES, BETWEEN_MS);
        if (words.isEmpty()) {
            return new DistributedAtomicLong(client, path, retry);
        }
        PromotedToLock lock = PromotedToLock.builder().lockPath(words.get(0)).retryPolicy(retry).build();
        return new DistributedAtomicLong(client, path, new RetryNTimes(0, 0), lock);
    }

    private record Number(DistributedAtomicLong number) implements Recipe {
        @Override
        public List<?> perform(String verb, List<String> words) throws Exception {
            switch (verb) {
                case "get":
                    return List.of(number.get().postValue());
                case "init":
                    return List.of(number.initialize(Long.parseLong(words.get(0))));
                case "set":
                    number.forceSet(Long.parseLong(words.get(0)));
                    return List.of();
                case "add":
                    return outcome(number.add(Long.parseLong(words.get(0))));
                case "cas":
                    return outcome(number.compareAndSet(Long.parseLong(words.get(0)), Long.parseLong(words.get(1))));
                default:
                    throw Recipe.unknown(verb);
            }
        }

        private static List<?> outcome(AtomicValue<Long> value) {
            return List.of(value.succeeded(), value.preValue(), value.postValue());
        }
    }

    private static final class Value implements Recipe, SharedValueListener {
        private final SharedValue value;
        private final News news;

        Value(CuratorFramework client, String path, String start, News news) throws Exception {
            this.news = news;
            value = new SharedValue(client, path, start.getBytes(StandardCharsets.UTF_8));
            value.getListenable().addListener(this);
            value.start();
        }

        @Override
        public void valueHasChanged(SharedValueReader reader, byte[] now) {
            news.tell("changed", now);
        }

        @Override
        public void stateChanged(CuratorFramework client, ConnectionState state) {}

        @Override
        public List<?> perform(String verb, List<String> words) throws Exception {
            switch (verb) {
                case "get":
                    return List.of(value.getVersionedValue().getValue(), value.getVersionedValue().getVersion());
                case "set":
                    value.setValue(words.get(0).getBytes(StandardCharsets.UTF_8));
                    return List.of();
                case "try":
                    byte[] wanted = words.get(0).getBytes(StandardCharsets.UTF_8);
                    return List.of(value.trySetValue(value.getVersionedValue(), wanted));
                default:
                    throw Recipe.unknown(verb);
            }
        }

        @Override
        public Set<String> asides() {
            return Set.of("get");
        }

        @Override
        public void close() throws Exception {
            value.close();
        }
    }

    private static final class Count implements Recipe, SharedCountListener {
        private final SharedCount count;
        private final News news;

        Count(CuratorFramework client, String path, String start, News news) throws Exception {
            this.news = news;
            count = new SharedCount(client, path, Integer.parseInt(start));
            count.addListener(this);
            count.start();
        }

        @Override
        public void countHasChanged(SharedCountReader reader, int now) {
            news.tell("changed", now);
        }

        @Override
        public void stateChanged(CuratorFramework client, ConnectionState state) {}

        @Override
        public List<?> perform(String verb, List<String> words) throws Exception {
            switch (verb) {
                case "get":
                    return List.of(count.getVersionedValue().getValue(), count.getVersionedValue().getVersion());
                case "set":
                    count.setCount(Integer.parseInt(words.get(0)));
                    return List.of();
                case "try":
                    return List.of(count.trySetCount(count.getVersionedValue(), Integer.parseInt(words.get(0))));
                default:
                    throw Recipe.unknown(verb);
            }
        }

        @Override
        public Set<String> asides() {
            return Set.of("get");
        }

        @Override
        public void close() throws Exception {
            count.close();
        }
    }
}
