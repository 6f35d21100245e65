import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicLong;
import org.apache.curator.framework.CuratorFramework;
import org.apache.curator.framework.CuratorFrameworkFactory;
import org.apache.curator.framework.recipes.locks.InterProcessMutex;
import org.apache.curator.retry.RetryForever;

/**
 * Measures one Curator mutex wanted by many: each contender is a thread with a lock object of its own, that acquires,
 * releases at once and queues again.
 *
 * <p>Arguments: HOSTS SECONDS CONTENDERS CLIENTS. Contenders are spread over so many connections. Prints one line of JSON:
 * hand-overs per second, and the processor time of this whole process for each. Two holders at once end it with status 1.
 */
final class MutexBench {
    private static final String PATH = "/mutex-bench";
    private static final int SESSION_MS = 30_000;
    private static final int RETRY_MS = 100;
    private static final int WARM_SECONDS = 3;

    private final AtomicLong turns = new AtomicLong();
    private final AtomicInteger holders = new AtomicInteger();
    private volatile boolean ends;

    public static void main(String[] words) throws Exception {
        int seconds = Integer.parseInt(words[1]);
        int contenders = Integer.parseInt(words[2]);
        List<CuratorFramework> clients = new ArrayList<>();
        for (int number = 0; number < Integer.parseInt(words[3]); number++) {
            CuratorFramework client = CuratorFrameworkFactory.builder().connectString(words[0])
                    .sessionTimeoutMs(SESSION_MS).retryPolicy(new RetryForever(RETRY_MS)).build();
            client.start();
            clients.add(client);
        }
        System.out.println(new MutexBench().run(clients, seconds, contenders));
        clients.forEach(CuratorFramework::close);
    }

    private String run(List<CuratorFramework> clients, int seconds, int contenders) throws InterruptedException {
        List<Thread> threads = new ArrayList<>();
        for (int number = 0; number < contenders; number++) {
            CuratorFramework client = clients.get(number % clients.size());
            threads.add(new Thread(() -> contend(new InterProcessMutex(client, PATH))));
        }
        threads.forEach(Thread::start);
        TimeUnit.SECONDS.sleep(WARM_SECONDS);
        long begin = System.nanoTime();
        long processor = PlainBench.processorNanos();
        long before = turns.get();
        TimeUnit.SECONDS.sleep(seconds);
        long made = turns.get() - before;
        long used = PlainBench.processorNanos() - processor;
        long took = System.nanoTime() - begin;
        ends = true;
        for (Thread thread : threads) {
            thread.join();
        }
        return String.format(Locale.ROOT, "{\"bench\":\"curator mutex\",\"contenders\":%d,\"clients\":%d,\"seconds\":%.3f,"
                + "\"handovers\":%d,\"handovers_per_second\":%.1f,\"client_cpu_us_per_handover\":%.1f}", contenders,
                clients.size(), took / 1e9, made, made * 1e9 / took, used / 1e3 / Math.max(1, made));
    }

    private void contend(InterProcessMutex mutex) {
        try {
            while (!ends) {
                mutex.acquire();
                if (holders.incrementAndGet() != 1) {
                    throw new IllegalStateException("two holders");
                }
                turns.incrementAndGet();
                holders.decrementAndGet();
                mutex.release();
            }
        } catch (Exception thrown) {
            thrown.printStackTrace();
            // A contender that is missing makes the figures worthless.
            Runtime.getRuntime().halt(1);
        }
    }
}
