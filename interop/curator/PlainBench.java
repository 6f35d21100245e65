import java.lang.management.ManagementFactory;
import java.util.Arrays;
import java.util.Locale;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.Semaphore;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicLong;
import org.apache.zookeeper.CreateMode;
import org.apache.zookeeper.KeeperException;
import org.apache.zookeeper.Watcher;
import org.apache.zookeeper.ZooDefs;
import org.apache.zookeeper.ZooKeeper;

/**
 * Measures the plain Java client: gets of one small znode over one connection, a certain number of them outstanding.
 *
 * <p>Arguments: HOSTS SECONDS OUTSTANDING. Prints one line of JSON: operations per second, the processor time of this whole
 * process per operation (with what the virtual machine does beside), and latencies from the call to the callback.
 * Compilation and connecting happen before the clock starts.
 */
final class PlainBench {
    private static final String PATH = "/plain-bench";
    private static final int BYTES = 100;
    private static final int SESSION_MS = 30_000;
    private static final int WARM_SECONDS = 3;
    private static final int MOST_SAMPLES = 1 << 22;

    private final ZooKeeper client;
    private final Semaphore room;
    private final int outstanding;
    private final AtomicLong done = new AtomicLong();
    private final AtomicLong failed = new AtomicLong();
    // Written by the one thread that runs callbacks.
    private final int[] micros = new int[MOST_SAMPLES];
    private int samples;

    private PlainBench(ZooKeeper client, int outstanding) {
        this.client = client;
        this.outstanding = outstanding;
        this.room = new Semaphore(outstanding);
    }

    public static void main(String[] words) throws Exception {
        CountDownLatch connected = new CountDownLatch(1);
        ZooKeeper client = new ZooKeeper(words[0], SESSION_MS, event -> {
            if (event.getState() == Watcher.Event.KeeperState.SyncConnected) {
                connected.countDown();
            }
        });
        if (!connected.await(SESSION_MS, TimeUnit.MILLISECONDS)) {
            throw new IllegalStateException("no connection to " + words[0]);
        }
        try {
            client.create(PATH, new byte[BYTES], ZooDefs.Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT);
        } catch (KeeperException.NodeExistsException there) {
            client.setData(PATH, new byte[BYTES], -1);
        }
        PlainBench bench = new PlainBench(client, Integer.parseInt(words[2]));
        bench.run(WARM_SECONDS);
        System.out.println(bench.run(Integer.parseInt(words[1])));
        client.delete(PATH, -1);
        client.close();
    }

    /** Keeps the connection busy for so long, waits for what is outstanding, and tells what was measured. */
    private String run(int seconds) throws InterruptedException {
        done.set(0);
        failed.set(0);
        samples = 0;
        long begin = System.nanoTime();
        long processor = processorNanos();
        long end = begin + TimeUnit.SECONDS.toNanos(seconds);
        while (System.nanoTime() < end) {
            room.acquire();
            long asked = System.nanoTime();
            client.getData(PATH, false, (code, path, context, data, stat) -> answered(code, asked), null);
        }
        room.acquire(outstanding);
        long took = System.nanoTime() - begin;
        long used = processorNanos() - processor;
        room.release(outstanding);
        return told(took, used);
    }

    private void answered(int code, long asked) {
        if (code == KeeperException.Code.OK.intValue()) {
            done.incrementAndGet();
        } else {
            failed.incrementAndGet();
        }
        if (samples < MOST_SAMPLES) {
            micros[samples++] = (int) ((System.nanoTime() - asked) / 1000);
        }
        room.release();
    }

    private String told(long took, long used) {
        int[] sorted = Arrays.copyOf(micros, samples);
        Arrays.sort(sorted);
        return String.format(Locale.ROOT, "{\"bench\":\"plain get\",\"bytes\":%d,\"outstanding\":%d,\"seconds\":%.3f,"
                + "\"operations\":%d,\"errors\":%d,\"operations_per_second\":%.0f,\"client_cpu_us_per_operation\":%.3f,"
                + "\"p50_us\":%d,\"p99_us\":%d}", BYTES, outstanding, took / 1e9, done.get(), failed.get(),
                done.get() * 1e9 / took, used / 1e3 / Math.max(1, done.get()), at(sorted, 50), at(sorted, 99));
    }

    private static int at(int[] sorted, int percent) {
        return sorted.length == 0 ? 0 : sorted[(int) ((long) (sorted.length - 1) * percent / 100)];
    }

    /** Processor time of this process so far, all threads. */
    static long processorNanos() {
        return ((com.sun.management.OperatingSystemMXBean) ManagementFactory.getOperatingSystemMXBean())
                .getProcessCpuTime();
    }
}
