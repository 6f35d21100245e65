import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.net.URLDecoder;
import java.net.URLEncoder;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;
import org.apache.curator.framework.CuratorFramework;
import org.apache.curator.framework.CuratorFrameworkFactory;
import org.apache.curator.retry.RetryForever;
import org.apache.zookeeper.Watcher;
import org.apache.zookeeper.ZooKeeper;

/**
 * One Curator client with any number of recipes, driven by lines on stdin, answering by lines on stdout.
 *
 * <p>A line is words between single spaces. Each word is form-encoded UTF-8 (a space is '+', others '%XX'); the empty text is
 * written '""', null '-'. Verbs, kinds and arguments are listed at the head of each file of this folder; here is what they
 * share.
 *
 * <pre>
 * question                      answer
 * ID connect HOSTS SESSION_MS   ID ok SESSION        id of the session, hexadecimal; the first question
 * ID new KIND NAME PATH [ARG..] ID ok                a recipe of that kind; NAME is its own from now on
 * ID do NAME VERB [ARG..]       ID ok [WORD..]       what the verb answers; true and false are words
 * ID expire                     ID ok SESSION        ends the session at the server, and answers once there is a new one
 * ID close                      ID ok                closes recipes and session; the process ends
 * any of them                   ID error CLASS TEXT  the recipe threw
 *                               ID late              not answered within ANSWER_MS; its thread was interrupted
 *                               * NAME WORD [WORD..] news that nobody asked for; NAME '-': the state of the connection
 * </pre>
 *
 * <p>ID is any word; answers come in any order. The verbs of one recipe run one after the other in a thread that belongs to
 * it, as Curator's locks belong to threads; those that a recipe lists as `asides` only look, and run beside it. End of stdin
 * ends the process without closing the session, as kill -9 does.
 */
final class Agent {
    private static final int ANSWER_MS = 30_000;
    private static final int RETRY_MS = 100;
    private static final int CONNECT_MS = 10_000;

    private final PrintStream out = new PrintStream(System.out, false, StandardCharsets.UTF_8);
    private final ExecutorService asides = Executors.newCachedThreadPool();
    private final ScheduledExecutorService clock = Executors.newSingleThreadScheduledExecutor();
    private final Map<String, Holder> recipes = new ConcurrentHashMap<>();
    private CuratorFramework client;
    private int sessionMillis;

    private record Holder(Recipe recipe, ExecutorService thread) {}

    public static void main(String[] arguments) throws Exception {
        new Agent().listen();
        Runtime.getRuntime().halt(0);
    }

    private void listen() throws Exception {
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line = in.readLine(); line != null; line = in.readLine()) {
            List<String> words = new ArrayList<>();
            for (String word : line.split(" ")) {
                words.add(word.equals("\"\"") ? "" : URLDecoder.decode(word, StandardCharsets.UTF_8));
            }
            try {
                take(words);
            } catch (RuntimeException wrong) {
                say(words.get(0), failure(wrong));
            }
        }
    }

    /** Starts the work of one question in the thread where it belongs, and its deadline. */
    private void take(List<String> words) {
        String id = words.get(0);
        AtomicBoolean answered = new AtomicBoolean();
        Future<?> work = threadOf(words).submit(() -> {
            List<Object> answer = answer(words);
            if (answered.compareAndSet(false, true)) {
                say(id, answer);
                if (words.get(1).equals("close")) {
                    Runtime.getRuntime().halt(0);
                }
            }
        });
        clock.schedule(() -> {
            if (answered.compareAndSet(false, true)) {
                say(id, List.of("late"));
                work.cancel(true);
            }
        }, ANSWER_MS, TimeUnit.MILLISECONDS);
    }

    private ExecutorService threadOf(List<String> words) {
        Holder holder = words.get(1).equals("do") ? recipes.get(words.get(2)) : null;
        return holder == null || holder.recipe.asides().contains(words.get(3)) ? asides : holder.thread;
    }

    private List<Object> answer(List<String> words) {
        List<Object> answer = new ArrayList<>(List.of("ok"));
        try {
            answer.addAll(perform(words));
            return answer;
        } catch (Throwable thrown) {
            return failure(thrown);
        }
    }

    private static List<Object> failure(Throwable thrown) {
        return Arrays.asList("error", thrown.getClass().getSimpleName(), thrown.getMessage());
    }

    private List<?> perform(List<String> words) throws Exception {
        switch (words.get(1)) {
            case "connect":
                return List.of(connect(words.get(2), Integer.parseInt(words.get(3))));
            case "new":
                recipes.put(words.get(3), new Holder(make(words), Executors.newSingleThreadExecutor()));
                return List.of();
            case "do":
                Holder holder = recipes.get(words.get(2));
                if (holder == null) {
                    throw new IllegalArgumentException("no recipe has the name " + words.get(2));
                }
                return holder.recipe.perform(words.get(3), words.subList(4, words.size()));
            case "expire":
                return List.of(expire());
            case "close":
                close();
                return List.of();
            default:
                throw new IllegalArgumentException("unknown question " + words.get(1));
        }
    }

    private Recipe make(List<String> words) throws Exception {
        String name = words.get(3);
        Recipe.News news = (Object... told) -> say("*", name, Arrays.asList(told));
        return Recipe.make(words.get(2), client, words.get(4), words.subList(5, words.size()), news);
    }

    private String connect(String hosts, int session) throws Exception {
        sessionMillis = session;
        client = CuratorFrameworkFactory.builder().connectString(hosts).sessionTimeoutMs(session)
                .connectionTimeoutMs(CONNECT_MS).retryPolicy(new RetryForever(RETRY_MS)).build();
        client.getConnectionStateListenable().addListener((who, state) -> say("*", "-", List.of(state)));
        client.start();
        return session();
    }

    /** The session's id, once there is one. */
    private String session() throws Exception {
        if (!client.blockUntilConnected(CONNECT_MS, TimeUnit.MILLISECONDS)) {
            throw new IllegalStateException("no connection within " + CONNECT_MS + " ms");
        }
        return Long.toHexString(client.getZookeeperClient().getZooKeeper().getSessionId());
    }

    /** Another connection takes the session over and closes it, so that the server tells this client that it is gone. */
    private String expire() throws Exception {
        ZooKeeper own = client.getZookeeperClient().getZooKeeper();
        CountDownLatch connected = new CountDownLatch(1);
        String hosts = client.getZookeeperClient().getCurrentConnectionString();
        ZooKeeper other = new ZooKeeper(hosts, sessionMillis, event -> {
            if (event.getState() == Watcher.Event.KeeperState.SyncConnected) {
                connected.countDown();
            }
        }, own.getSessionId(), own.getSessionPasswd());
        connected.await(CONNECT_MS, TimeUnit.MILLISECONDS);
        other.close();
        String gone = Long.toHexString(own.getSessionId());
        for (String now = session(); ; now = session()) {
            if (!now.equals(gone) && !now.equals("0")) {
                return now;
            }
            Thread.sleep(RETRY_MS);
        }
    }

    private void close() throws Exception {
        for (Holder holder : recipes.values()) {
            holder.recipe.close();
        }
        if (client != null) {
            client.close();
        }
    }

    private void say(String first, List<?> words) {
        StringBuilder line = new StringBuilder(first);
        for (Object word : words) {
            line.append(' ').append(written(word));
        }
        synchronized (out) {
            out.println(line);
            out.flush();
        }
    }

    private void say(String first, String second, List<?> words) {
        List<Object> all = new ArrayList<>(List.of(second));
        all.addAll(words);
        say(first, all);
    }

    private static String written(Object word) {
        if (word == null) {
            return "-";
        }
        String text = word instanceof byte[] bytes ? new String(bytes, StandardCharsets.UTF_8) : word.toString();
        // A lone '-' is null, so this one text is escaped although the encoding would not.
        return text.isEmpty() ? "\"\"" : text.equals("-") ? "%2D" : URLEncoder.encode(text, StandardCharsets.UTF_8);
    }
}
