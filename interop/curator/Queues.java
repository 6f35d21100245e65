import java.io.Closeable;
import java.nio.charset.StandardCharsets;
import java.util.Collections;
import java.util.Iterator;
import java.util.List;
import java.util.concurrent.Semaphore;
import java.util.concurrent.TimeUnit;
import org.apache.curator.framework.CuratorFramework;
import org.apache.curator.framework.recipes.queue.DistributedDelayQueue;
import org.apache.curator.framework.recipes.queue.DistributedIdQueue;
import org.apache.curator.framework.recipes.queue.DistributedPriorityQueue;
import org.apache.curator.framework.recipes.queue.DistributedQueue;
import org.apache.curator.framework.recipes.queue.MultiItem;
import org.apache.curator.framework.recipes.queue.QueueBase;
import org.apache.curator.framework.recipes.queue.QueueBuilder;
import org.apache.curator.framework.recipes.queue.QueueConsumer;
import org.apache.curator.framework.recipes.queue.QueueSerializer;
import org.apache.curator.framework.recipes.queue.SimpleDistributedQueue;
import org.apache.curator.framework.state.ConnectionState;

/**
 * Queues. Items are texts. ROLE is put (only puts), take (also consumes), or hold (consumes, and stays in the middle of an
 * item until `go`); a LOCKS path, when there is one, makes it take with locks there. Consumers tell: item TEXT.
 *
 * <pre>
 * queue ROLE [LOCKS]        put TEXT..  (several: one node with all of them)
 * identified ROLE [LOCKS]   put TEXT ID    remove ID -> how many
 * priority ROLE [LOCKS]     put TEXT PRIORITY
 * delay ROLE [LOCKS]        put TEXT EPOCH_MS
 *                           go: the consumer that holds an item goes on to the next
 * simple                    offer TEXT -> true|false    poll MS -> TEXT|null    peek -> TEXT|null
 * </pre>
 */
final class Queues {
    private static final int FLUSH_MS = 5000;
    private static final int MIN_ITEMS_BEFORE_REFRESH = 0;

    private Queues() {}

    static Recipe make(String kind, CuratorFramework client, String path, List<String> words, Recipe.News news)
            throws Exception {
        if (kind.equals("simple")) {
            return new Simple(new SimpleDistributedQueue(client, path));
        }
        Items items = words.get(0).equals("put") ? null : new Items(news, words.get(0).equals("hold"));
        QueueBuilder<String> builder = QueueBuilder.builder(client, items, new Texts(), path);
        if (words.size() > 1) {
            builder = builder.lockPath(words.get(1));
        }
        return new Queue(started(kind, builder), items);
    }

    private static QueueBase<String> started(String kind, QueueBuilder<String> builder) throws Exception {
        QueueBase<String> queue;
        switch (kind) {
            case "queue":
                queue = builder.buildQueue();
                break;
            case "identified":
                queue = builder.buildIdQueue();
                break;
            case "priority":
                queue = builder.buildPriorityQueue(MIN_ITEMS_BEFORE_REFRESH);
                break;
            default:
                queue = builder.buildDelayQueue();
        }
        queue.start();
        return queue;
    }

    private static final class Texts implements QueueSerializer<String> {
        @Override
        public byte[] serialize(String text) {
            return text.getBytes(StandardCharsets.UTF_8);
        }

        @Override
        public String deserialize(byte[] bytes) {
            return new String(bytes, StandardCharsets.UTF_8);
        }
    }

    /** The consumer. */
    private static final class Items implements QueueConsumer<String> {
        private final Recipe.News news;
        private final boolean holds;
        private final Semaphore go = new Semaphore(0);

        Items(Recipe.News news, boolean holds) {
            this.news = news;
            this.holds = holds;
        }

        @Override
        public void consumeMessage(String text) throws Exception {
            news.tell("item", text);
            if (holds) {
                go.acquire();
            }
        }

        @Override
        public void stateChanged(CuratorFramework client, ConnectionState state) {}
    }

    private static final class Several implements MultiItem<String> {
        private final Iterator<String> rest;

        Several(List<String> texts) {
            rest = texts.iterator();
        }

        @Override
        public String nextItem() {
            return rest.hasNext() ? rest.next() : null;
        }
    }

    private record Queue(QueueBase<String> queue, Items items) implements Recipe {
        @Override
        public List<?> perform(String verb, List<String> words) throws Exception {
            switch (verb) {
                case "put":
                    put(words);
                    return List.of();
                case "remove":
                    return List.of(((DistributedIdQueue<String>) queue).remove(words.get(0)));
                case "go":
                    items.go.release();
                    return List.of();
                default:
                    throw Recipe.unknown(verb);
            }
        }

        private void put(List<String> words) throws Exception {
            if (queue instanceof DistributedIdQueue<String> identified) {
                identified.put(words.get(0), words.get(1));
            } else if (queue instanceof DistributedPriorityQueue<String> priority) {
                priority.put(words.get(0), Integer.parseInt(words.get(1)));
            } else if (queue instanceof DistributedDelayQueue<String> delay) {
                delay.put(words.get(0), Long.parseLong(words.get(1)));
            } else if (words.size() > 1) {
                ((DistributedQueue<String>) queue).putMulti(new Several(words));
            } else {
                ((DistributedQueue<String>) queue).put(words.get(0));
            }
            queue.flushPuts(FLUSH_MS, TimeUnit.MILLISECONDS);
        }

        @Override
        public void close() throws Exception {
            if (items != null) {
                items.go.release();
            }
            ((Closeable) queue).close();
        }
    }

    private record Simple(SimpleDistributedQueue queue) implements Recipe {
        @Override
        public List<?> perform(String verb, List<String> words) throws Exception {
            switch (verb) {
                case "offer":
                    return List.of(queue.offer(words.get(0).getBytes(StandardCharsets.UTF_8)));
                case "poll":
                    return Collections.singletonList(queue.poll(Long.parseLong(words.get(0)), TimeUnit.MILLISECONDS));
                case "peek":
                    return Collections.singletonList(queue.peek());
                default:
                    throw Recipe.unknown(verb);
            }
        }
    }
}
