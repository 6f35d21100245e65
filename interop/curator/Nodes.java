import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.TimeUnit;
import org.apache.curator.framework.CuratorFramework;
import org.apache.curator.framework.recipes.nodes.GroupMember;
import org.apache.curator.framework.recipes.nodes.PersistentNode;
import org.apache.curator.x.discovery.ServiceDiscovery;
import org.apache.curator.x.discovery.ServiceDiscoveryBuilder;
import org.apache.curator.x.discovery.ServiceInstance;
import org.apache.curator.x.discovery.ServiceInstanceBuilder;
import org.apache.curator.x.discovery.ServiceProvider;
import org.apache.curator.x.discovery.ServiceType;
import org.apache.curator.x.discovery.UriSpec;
import org.apache.zookeeper.CreateMode;

/**
 * Nodes that are kept alive, members of a group, services.
 *
 * <pre>
 * node MODE PROTECTED DATA   start MS -> true|false    path -> where it is    set DATA    leave
 *                            MODE as in CreateMode (EPHEMERAL, ..), PROTECTED true or false
 * member ID DATA             start    all -> ID DATA ID DATA ..    set DATA    leave
 * discovery                  register NAME ID ADDRESS PORT TIME [PAYLOAD [URI]]    unregister ID
 *                            names -> names    ids NAME -> IDs    instance NAME ID -> ADDRESS PORT PAYLOAD
 *                            choose NAME -> ID, by a provider with its cache and its turns
 * </pre>
 */
final class Nodes {
    private Nodes() {}

    static Recipe make(String kind, CuratorFramework client, String path, List<String> words) throws Exception {
        switch (kind) {
            case "node":
                CreateMode mode = CreateMode.valueOf(words.get(0));
                return new Kept(new PersistentNode(client, mode, Boolean.parseBoolean(words.get(1)), path,
                        words.get(2).getBytes(StandardCharsets.UTF_8)));
            case "member":
                byte[] data = words.get(1).getBytes(StandardCharsets.UTF_8);
                return new Member(new GroupMember(client, path, words.get(0), data));
            default:
                return new Discovery(client, path);
        }
    }

    private record Kept(PersistentNode node) implements Recipe {
        @Override
        public List<?> perform(String verb, List<String> words) throws Exception {
            switch (verb) {
                case "start":
                    node.start();
                    return List.of(node.waitForInitialCreate(Long.parseLong(words.get(0)), TimeUnit.MILLISECONDS));
                case "path":
                    return List.of(node.getActualPath());
                case "set":
                    node.setData(words.get(0).getBytes(StandardCharsets.UTF_8));
                    return List.of();
                case "leave":
                    node.close();
                    return List.of();
                default:
                    throw Recipe.unknown(verb);
            }
        }
    }

    private record Member(GroupMember member) implements Recipe {
        @Override
        public List<?> perform(String verb, List<String> words) throws Exception {
            switch (verb) {
                case "start":
                    member.start();
                    return List.of();
                case "all":
                    List<Object> told = new ArrayList<>();
                    member.getCurrentMembers().forEach((id, data) -> told.addAll(List.of(id, data)));
                    return told;
                case "set":
                    member.setThisData(words.get(0).getBytes(StandardCharsets.UTF_8));
                    return List.of();
                case "leave":
                    member.close();
                    return List.of();
                default:
                    throw Recipe.unknown(verb);
            }
        }
    }

    private static final class Discovery implements Recipe {
        private final ServiceDiscovery<String> discovery;
        private final Map<String, ServiceInstance<String>> own = new ConcurrentHashMap<>();
        private final Map<String, ServiceProvider<String>> providers = new ConcurrentHashMap<>();

        Discovery(CuratorFramework client, String path) throws Exception {
            discovery = ServiceDiscoveryBuilder.builder(String.class).client(client).basePath(path)
                    .build();
            discovery.start();
        }

        @Override
        public List<?> perform(String verb, List<String> words) throws Exception {
            switch (verb) {
                case "register":
                    register(words);
                    return List.of();
                case "unregister":
                    discovery.unregisterService(own.remove(words.get(0)));
                    return List.of();
                case "names":
                    return List.copyOf(discovery.queryForNames());
                case "ids":
                    return discovery.queryForInstances(words.get(0)).stream().map(ServiceInstance::getId).toList();
                case "instance":
                    ServiceInstance<String> found = discovery.queryForInstance(words.get(0), words.get(1));
                    return Arrays.asList(found.getAddress(), found.getPort(), found.getPayload());
                case "choose":
                    return List.of(provider(words.get(0)).getInstance().getId());
                default:
                    throw Recipe.unknown(verb);
            }
        }

        private void register(List<String> words) throws Exception {
            ServiceInstanceBuilder<String> builder = ServiceInstance.<String>builder().name(words.get(0))
                    .id(words.get(1)).address(words.get(2)).port(Integer.parseInt(words.get(3)))
                    .registrationTimeUTC(Long.parseLong(words.get(4))).serviceType(ServiceType.DYNAMIC);
            if (words.size() > 5) {
                builder.payload(words.get(5));
            }
            if (words.size() > 6) {
                builder.uriSpec(new UriSpec(words.get(6)));
            }
            ServiceInstance<String> instance = builder.build();
            own.put(instance.getId(), instance);
            discovery.registerService(instance);
        }

        private ServiceProvider<String> provider(String name) throws Exception {
            ServiceProvider<String> known = providers.get(name);
            if (known == null) {
                known = discovery.serviceProviderBuilder().serviceName(name).build();
                known.start();
                providers.put(name, known);
            }
            return known;
        }

        @Override
        public void close() throws Exception {
            for (ServiceProvider<String> provider : providers.values()) {
                provider.close();
            }
            discovery.close();
        }
    }
}
