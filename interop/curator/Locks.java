import java.util.ArrayDeque;
import java.util.Collection;
import java.util.Deque;
import java.util.List;
import java.util.Set;
import java.util.concurrent.TimeUnit;
import org.apache.curator.framework.CuratorFramework;
import org.apache.curator.framework.recipes.locks.InterProcessMutex;
import org.apache.curator.framework.recipes.locks.InterProcessReadWriteLock;
import org.apache.curator.framework.recipes.locks.InterProcessSemaphoreV2;
import org.apache.curator.framework.recipes.locks.Lease;

/**
 * Locks. Every wait is in milliseconds, and ends with false.
 *
 * <pre>
 * mutex                 acquire MS -> true|false    release    held -> true|false (aside)    nodes -> paths, next first (aside)
 * readwrite             read MS, write MS -> true|false    unread    unwrite    nodes -> paths (aside)
 * semaphore LEASES      acquire MS [COUNT] -> names of the nodes, none when it was in vain    release [NODE] (the oldest)
 *                       nodes -> names (aside)
 * </pre>
 */
final class Locks {
    private Locks() {}

    static Recipe make(String kind, CuratorFramework client, String path, List<String> words) {
        switch (kind) {
            case "mutex":
                return new Mutex(new InterProcessMutex(client, path));
            case "readwrite":
                return new ReadWrite(new InterProcessReadWriteLock(client, path));
            default:
                return new Semaphore(new InterProcessSemaphoreV2(client, path, Integer.parseInt(words.get(0))));
        }
    }

    private static boolean acquire(InterProcessMutex lock, List<String> words) throws Exception {
        return lock.acquire(Long.parseLong(words.get(0)), TimeUnit.MILLISECONDS);
    }

    private record Mutex(InterProcessMutex lock) implements Recipe {
        @Override
        public List<?> perform(String verb, List<String> words) throws Exception {
            switch (verb) {
                case "acquire":
                    return List.of(Locks.acquire(lock, words));
                case "release":
                    lock.release();
                    return List.of();
                case "held":
                    return List.of(lock.isAcquiredInThisProcess());
                case "nodes":
                    return List.copyOf(lock.getParticipantNodes());
                default:
                    throw Recipe.unknown(verb);
            }
        }

        @Override
        public Set<String> asides() {
            return Set.of("held", "nodes");
        }
    }

    private record ReadWrite(InterProcessReadWriteLock lock) implements Recipe {
        @Override
        public List<?> perform(String verb, List<String> words) throws Exception {
            switch (verb) {
                case "read":
                    return List.of(Locks.acquire(lock.readLock(), words));
                case "write":
                    return List.of(Locks.acquire(lock.writeLock(), words));
                case "unread":
                    lock.readLock().release();
                    return List.of();
                case "unwrite":
                    lock.writeLock().release();
                    return List.of();
                case "nodes":
                    return List.copyOf(lock.readLock().getParticipantNodes());
                default:
                    throw Recipe.unknown(verb);
            }
        }

        @Override
        public Set<String> asides() {
            return Set.of("nodes");
        }
    }

    private static final class Semaphore implements Recipe {
        private final InterProcessSemaphoreV2 semaphore;
        private final Deque<Lease> leases = new ArrayDeque<>();

        Semaphore(InterProcessSemaphoreV2 semaphore) {
            this.semaphore = semaphore;
        }

        @Override
        public List<?> perform(String verb, List<String> words) throws Exception {
            switch (verb) {
                case "acquire":
                    int count = words.size() > 1 ? Integer.parseInt(words.get(1)) : 1;
                    return acquire(count, Long.parseLong(words.get(0)));
                case "release":
                    semaphore.returnLease(words.isEmpty() ? leases.remove() : named(words.get(0)));
                    return List.of();
                case "nodes":
                    return List.copyOf(semaphore.getParticipantNodes());
                default:
                    throw Recipe.unknown(verb);
            }
        }

        private List<String> acquire(int count, long millis) throws Exception {
            Collection<Lease> got = semaphore.acquire(count, millis, TimeUnit.MILLISECONDS);
            if (got == null) {
                return List.of();
            }
            leases.addAll(got);
            return got.stream().map(Lease::getNodeName).toList();
        }

        private Lease named(String node) {
            Lease lease = leases.stream().filter(one -> one.getNodeName().equals(node)).findFirst().orElseThrow();
            leases.remove(lease);
            return lease;
        }

        @Override
        public Set<String> asides() {
            return Set.of("nodes");
        }
    }
}
