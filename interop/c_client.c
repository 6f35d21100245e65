/* The C client library (libzookeeper_mt) against the server under test; driven by c_client.py.
 *
 * Prints "ok NAME" or "FAIL NAME: what" for every check. The line "ask restart" wants the server restarted: the driver
 * answers with one line on standard input. Usage: c_client HOST:PORT. */

#define THREADED
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <zookeeper/zookeeper.h>

#define EVENT_SECONDS 10
#define TIMEOUT_MS 20000
#define MAX_EVENTS 64
#define PATH_SIZE 256

/* ---- events: every watcher appends to the recorder it was given as context ---- */

struct recorder {
    int count;
    int types[MAX_EVENTS];
    char paths[MAX_EVENTS][PATH_SIZE];
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;

static void record(zhandle_t *zh, int type, int state, const char *path, void *context)
{
    struct recorder *into = context;
    (void)zh;
    (void)state;
    pthread_mutex_lock(&lock);
    if (into && into->count < MAX_EVENTS && type != ZOO_SESSION_EVENT) {
        into->types[into->count] = type;
        snprintf(into->paths[into->count], PATH_SIZE, "%s", path ? path : "");
        into->count++;
    }
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
}

static int wait_events(struct recorder *from, int count)
{
    struct timespec until;
    int got;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += EVENT_SECONDS;
    pthread_mutex_lock(&lock);
    while (from->count < count && pthread_cond_timedwait(&changed, &lock, &until) == 0) {
    }
    got = from->count;
    pthread_mutex_unlock(&lock);
    return got >= count;
}

/* ---- checks ---- */

static int ok(const char *name, int condition, const char *format, ...)
{
    va_list arguments;
    if (condition) {
        printf("ok %s\n", name);
    } else {
        printf("FAIL %s: ", name);
        va_start(arguments, format);
        vprintf(format, arguments);
        va_end(arguments);
        printf("\n");
    }
    fflush(stdout);
    return condition;
}

static void expect_rc(const char *name, int rc, int wanted)
{
    ok(name, rc == wanted, "got %d (%s), expected %d", rc, zerror(rc), wanted);
}

static void expect_path(const char *name, int rc, const char *path, const char *wanted)
{
    ok(name, rc == ZOK && strcmp(path, wanted) == 0, "got %d %s, expected %s", rc, path, wanted);
}

/* One event of the given type and path, and none besides. */
static void expect_event(const char *name, struct recorder *from, int type, const char *path)
{
    int came = wait_events(from, 1);
    usleep(100000);
    ok(name, came && from->count == 1 && from->types[0] == type && strcmp(from->paths[0], path) == 0,
       "got %d events, first %d %s; expected %d %s", from->count, from->types[0], from->paths[0], type, path);
    memset(from, 0, sizeof *from);
}

static int wait_state(zhandle_t *zh, int state)
{
    int tries;
    for (tries = 0; tries < EVENT_SECONDS * 50; tries++) {
        if (zoo_state(zh) == state) {
            return 1;
        }
        usleep(20000);
    }
    return 0;
}

static zhandle_t *connect_to(const char *host, const clientid_t *session)
{
    zhandle_t *zh = zookeeper_init(host, record, TIMEOUT_MS, session, NULL, ZOO_NO_LOG_CLIENTENV);
    if (!zh || !wait_state(zh, ZOO_CONNECTED_STATE)) {
        printf("FAIL connect: no session at %s\n", host);
        exit(1);
    }
    return zh;
}

static int make(zhandle_t *zh, const char *path, int mode, char *created)
{
    return zoo_create(zh, path, "v", 1, &ZOO_OPEN_ACL_UNSAFE, mode, created, PATH_SIZE);
}

/* ---- cases ---- */

static void create_modes(zhandle_t *zh)
{
    char path[PATH_SIZE];
    struct Stat stat;
    int rc;
    expect_path("create persistent", make(zh, "/c", ZOO_PERSISTENT, path), path, "/c");
    expect_path("create sequential", make(zh, "/c/s", ZOO_PERSISTENT_SEQUENTIAL, path), path, "/c/s0000000000");
    expect_path("create ephemeral", make(zh, "/c/e", ZOO_EPHEMERAL, path), path, "/c/e");
    expect_path("create ephemeral sequential", make(zh, "/c/es", ZOO_EPHEMERAL_SEQUENTIAL, path), path,
                "/c/es0000000002");
    expect_path("create container", make(zh, "/c/box", ZOO_CONTAINER, path), path, "/c/box");
    rc = zoo_create_ttl(zh, "/c/ttl", "v", 1, &ZOO_OPEN_ACL_UNSAFE, ZOO_PERSISTENT_WITH_TTL, 3600000, path,
                        PATH_SIZE);
    expect_path("create with TTL", rc, path, "/c/ttl");
    rc = zoo_create_ttl(zh, "/c/tseq", "v", 1, &ZOO_OPEN_ACL_UNSAFE, ZOO_PERSISTENT_SEQUENTIAL_WITH_TTL, 3600000,
                        path, PATH_SIZE);
    expect_path("create sequential with TTL", rc, path, "/c/tseq0000000005");
    rc = zoo_create2(zh, "/c/two", "12345", 5, &ZOO_OPEN_ACL_UNSAFE, ZOO_PERSISTENT, path, PATH_SIZE, &stat);
    expect_path("create2", rc, path, "/c/two");
    ok("create2 stat", stat.dataLength == 5 && stat.version == 0 && stat.czxid == stat.mzxid && stat.czxid > 0,
       "length %d version %d", stat.dataLength, stat.version);
    rc = zoo_create2_ttl(zh, "/c/two-ttl", "v", 1, &ZOO_OPEN_ACL_UNSAFE, ZOO_PERSISTENT_WITH_TTL, 3600000, path,
                         PATH_SIZE, &stat);
    ok("create2 with TTL shows owner 0", rc == ZOK && stat.ephemeralOwner == 0, "rc %d owner %lld", rc,
       (long long)stat.ephemeralOwner);
    rc = zoo_exists(zh, "/c/e", 0, &stat);
    ok("ephemeral owner", rc == ZOK && stat.ephemeralOwner == zoo_client_id(zh)->client_id, "owner %llx",
       (long long)stat.ephemeralOwner);
}

static void errors(zhandle_t *zh)
{
    char path[PATH_SIZE];
    expect_rc("create existing", make(zh, "/c", ZOO_PERSISTENT, path), ZNODEEXISTS);
    expect_rc("create without parent", make(zh, "/none/x", ZOO_PERSISTENT, path), ZNONODE);
    expect_rc("create below ephemeral", make(zh, "/c/e/x", ZOO_PERSISTENT, path), ZNOCHILDRENFOREPHEMERALS);
    expect_rc("delete with children", zoo_delete(zh, "/c", -1), ZNOTEMPTY);
    expect_rc("delete wrong version", zoo_delete(zh, "/c", 3), ZBADVERSION);
    expect_rc("delete missing", zoo_delete(zh, "/none", -1), ZNONODE);
    expect_rc("set wrong version", zoo_set(zh, "/c", "x", 1, 9), ZBADVERSION);
}

static void data_and_children(zhandle_t *zh)
{
    char buffer[64];
    int size = sizeof buffer, rc;
    struct Stat stat;
    struct String_vector names;
    rc = zoo_set2(zh, "/c", "a\0b", 3, 0, &stat);
    ok("set2", rc == ZOK && stat.version == 1 && stat.dataLength == 3, "rc %d version %d", rc, stat.version);
    rc = zoo_get(zh, "/c", 0, buffer, &size, &stat);
    ok("get binary", rc == ZOK && size == 3 && memcmp(buffer, "a\0b", 3) == 0, "rc %d size %d", rc, size);
    rc = zoo_set(zh, "/c/two", NULL, -1, -1);
    size = sizeof buffer;
    rc = rc == ZOK ? zoo_get(zh, "/c/two", 0, buffer, &size, NULL) : rc;
    ok("null data", rc == ZOK && size == -1, "rc %d size %d", rc, size);
    rc = zoo_get_children2(zh, "/c", 0, &names, &stat);
    ok("get_children2", rc == ZOK && names.count == 8 && stat.numChildren == 8, "rc %d count %d", rc,
       rc == ZOK ? names.count : -1);
    if (rc == ZOK) {
        deallocate_String_vector(&names);
    }
}

static void watches(zhandle_t *zh, zhandle_t *other)
{
    static struct recorder data, exist, child;
    char path[PATH_SIZE], buffer[16];
    int size = sizeof buffer;
    struct String_vector names;
    make(zh, "/w", ZOO_PERSISTENT, path);
    zoo_wget(zh, "/w", record, &data, buffer, &size, NULL);
    zoo_set(other, "/w", "1", 1, -1);
    zoo_set(other, "/w", "2", 1, -1);
    expect_event("data watch fires once", &data, ZOO_CHANGED_EVENT, "/w");
    expect_rc("exists on missing node", zoo_wexists(zh, "/w/x", record, &exist, NULL), ZNONODE);
    zoo_wget_children(zh, "/w", record, &child, &names);
    deallocate_String_vector(&names);
    make(other, "/w/x", ZOO_PERSISTENT, path);
    expect_event("exists watch", &exist, ZOO_CREATED_EVENT, "/w/x");
    expect_event("child watch", &child, ZOO_CHILD_EVENT, "/w");
    zoo_wexists(zh, "/w/x", record, &exist, NULL);
    zoo_delete(other, "/w/x", -1);
    expect_event("deletion", &exist, ZOO_DELETED_EVENT, "/w/x");
}

static void remove_watch(zhandle_t *zh)
{
    static struct recorder data;
    char buffer[16];
    int size = sizeof buffer;
    zoo_wget(zh, "/w", record, &data, buffer, &size, NULL);
    expect_rc("remove watches", zoo_remove_watches(zh, "/w", ZWATCHTYPE_DATA, record, &data, 0), ZOK);
    expect_rc("remove again", zoo_remove_watches(zh, "/w", ZWATCHTYPE_DATA, record, &data, 0), ZNOWATCHER);
    zoo_set(zh, "/w", "3", 1, -1);
    usleep(200000);
    ok("removed watch is silent", data.count == 0 || data.types[0] != ZOO_CHANGED_EVENT, "%d events", data.count);
}

static void authenticated(int rc, const void *context)
{
    struct recorder *into = (struct recorder *)context;
    pthread_mutex_lock(&lock);
    into->types[0] = rc;
    into->count = 1;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
}

static void log_in(const char *name, zhandle_t *zh, const char *user)
{
    static struct recorder done;
    memset(&done, 0, sizeof done);
    zoo_add_auth(zh, "digest", user, (int)strlen(user), authenticated, &done);
    ok(name, wait_events(&done, 1) && done.types[0] == ZOK, "rc %d", done.types[0]);
}

static void acls(zhandle_t *zh, zhandle_t *other)
{
    char path[PATH_SIZE], buffer[16];
    int size = sizeof buffer, rc;
    struct ACL_vector list;
    struct Stat stat;
    rc = zoo_create(zh, "/acl", "v", 1, &ZOO_CREATOR_ALL_ACL, 0, path, PATH_SIZE);
    expect_rc("auth scheme without identity", rc, ZINVALIDACL);
    log_in("add_auth", zh, "bob:pw");
    rc = zoo_create(zh, "/acl", "v", 1, &ZOO_CREATOR_ALL_ACL, 0, path, PATH_SIZE);
    expect_rc("create with creator's ACL", rc, ZOK);
    rc = zoo_get_acl(zh, "/acl", &list, &stat);
    ok("ACL expanded to the digest identity",
       rc == ZOK && list.count == 1 && list.data[0].perms == 31 && strcmp(list.data[0].id.scheme, "digest") == 0 &&
           strcmp(list.data[0].id.id, "bob:ikIaKsbtGweaHnb/jKn7OHqbunM=") == 0,
       "rc %d count %d id %s", rc, rc == ZOK ? list.count : -1, rc == ZOK && list.count ? list.data[0].id.id : "-");
    if (rc == ZOK) {
        deallocate_ACL_vector(&list);
    }
    expect_rc("other may not read", zoo_get(other, "/acl", 0, buffer, &size, NULL), ZNOAUTH);
    expect_rc("other may not write", zoo_set(other, "/acl", "x", 1, -1), ZNOAUTH);
    expect_rc("set_acl wrong version", zoo_set_acl(zh, "/acl", 4, &ZOO_READ_ACL_UNSAFE), ZBADVERSION);
    expect_rc("set_acl", zoo_set_acl(zh, "/acl", 0, &ZOO_READ_ACL_UNSAFE), ZOK);
    size = sizeof buffer;
    expect_rc("other may read now", zoo_get(other, "/acl", 0, buffer, &size, NULL), ZOK);
    expect_rc("nobody may write now", zoo_set(zh, "/acl", "x", 1, -1), ZNOAUTH);
}

static void multi(zhandle_t *zh)
{
    zoo_op_t ops[4];
    zoo_op_result_t results[4];
    char path[PATH_SIZE];
    struct Stat stat, made;
    int rc;
    zoo_create_op_init(&ops[0], "/m", "v", 1, &ZOO_OPEN_ACL_UNSAFE, 0, path, PATH_SIZE);
    zoo_create_op_init(&ops[1], "/m/s", "v", 1, &ZOO_OPEN_ACL_UNSAFE, ZOO_PERSISTENT_SEQUENTIAL, path, PATH_SIZE);
    zoo_set_op_init(&ops[2], "/m", "w", 1, 0, &stat);
    zoo_check_op_init(&ops[3], "/m", 1);
    rc = zoo_multi(zh, 4, ops, results);
    expect_path("multi", rc, path, "/m/s0000000000");
    zoo_exists(zh, "/m/s0000000000", 0, &made);
    ok("multi has one zxid", stat.version == 1 && stat.mzxid == made.czxid, "version %d, %llx %llx", stat.version,
       (long long)stat.mzxid, (long long)made.czxid);
    zoo_create_op_init(&ops[0], "/m/x", "v", 1, &ZOO_OPEN_ACL_UNSAFE, 0, path, PATH_SIZE);
    zoo_delete_op_init(&ops[1], "/m/none", -1);
    zoo_check_op_init(&ops[2], "/m", 1);
    rc = zoo_multi(zh, 3, ops, results);
    ok("failed multi", rc == ZNONODE && results[0].err == 0 && results[1].err == ZNONODE &&
           results[2].err == ZRUNTIMEINCONSISTENCY, "rc %d results %d %d %d", rc, results[0].err, results[1].err,
       results[2].err);
    expect_rc("failed multi changes nothing", zoo_exists(zh, "/m/x", 0, NULL), ZNONODE);
}

static void large(zhandle_t *zh)
{
    static char data[1000000], back[1000000];
    char path[PATH_SIZE];
    int size = sizeof back, rc;
    memset(data, 'x', sizeof data);
    rc = zoo_create(zh, "/large", data, sizeof data, &ZOO_OPEN_ACL_UNSAFE, 0, path, PATH_SIZE);
    rc = rc == ZOK ? zoo_get(zh, "/large", 0, back, &size, NULL) : rc;
    ok("one megabyte", rc == ZOK && size == (int)sizeof data && memcmp(data, back, sizeof data) == 0, "rc %d size %d",
       rc, size);
}

/* The session, its ephemeral, its identity and its watches outlive a restart of the server. */
static void restart(zhandle_t *zh, zhandle_t *other)
{
    static struct recorder data, child;
    char path[PATH_SIZE], buffer[16], line[32];
    int size = sizeof buffer, rc;
    struct String_vector names;
    struct Stat stat;
    int64_t session = zoo_client_id(zh)->client_id;
    make(zh, "/r", ZOO_PERSISTENT, path);
    make(zh, "/r/e", ZOO_EPHEMERAL, path);
    zoo_create(zh, "/r/private", "v", 1, &ZOO_CREATOR_ALL_ACL, 0, path, PATH_SIZE);
    zoo_wget(zh, "/r", record, &data, buffer, &size, NULL);
    zoo_wget_children(zh, "/r", record, &child, &names);
    deallocate_String_vector(&names);
    printf("ask restart\n");
    fflush(stdout);
    if (!fgets(line, sizeof line, stdin)) {
        exit(1);
    }
    ok("connected again", wait_state(zh, ZOO_CONNECTED_STATE) && wait_state(other, ZOO_CONNECTED_STATE), "state %d",
       zoo_state(zh));
    for (rc = ZCONNECTIONLOSS; rc == ZCONNECTIONLOSS || rc == ZOPERATIONTIMEOUT; usleep(50000)) {
        rc = zoo_exists(zh, "/r/e", 0, &stat);
    }
    ok("same session, ephemeral alive",
       rc == ZOK && zoo_client_id(zh)->client_id == session && stat.ephemeralOwner == session, "rc %d owner %llx", rc,
       (long long)stat.ephemeralOwner);
    size = sizeof buffer;
    expect_rc("identity was sent again", zoo_get(zh, "/r/private", 0, buffer, &size, NULL), ZOK);
    for (rc = ZCONNECTIONLOSS; rc == ZCONNECTIONLOSS || rc == ZOPERATIONTIMEOUT; usleep(50000)) {
        rc = zoo_set(other, "/r", "changed", 7, -1);
    }
    expect_event("data watch was set again", &data, ZOO_CHANGED_EVENT, "/r");
    make(other, "/r/new", ZOO_PERSISTENT, path);
    expect_event("child watch was set again", &child, ZOO_CHILD_EVENT, "/r");
}

static void session_end(const char *host, zhandle_t *other)
{
    static struct recorder gone;
    char path[PATH_SIZE];
    clientid_t id;
    zhandle_t *zh = connect_to(host, NULL), *again;
    make(zh, "/session-e", ZOO_EPHEMERAL, path);
    zoo_wexists(other, "/session-e", record, &gone, NULL);
    id = *zoo_client_id(zh);
    zookeeper_close(zh);
    expect_event("close deletes the ephemeral", &gone, ZOO_DELETED_EVENT, "/session-e");
    again = zookeeper_init(host, record, TIMEOUT_MS, &id, NULL, ZOO_NO_LOG_CLIENTENV);
    ok("a closed session has expired", wait_state(again, ZOO_EXPIRED_SESSION_STATE), "state %d", zoo_state(again));
    zookeeper_close(again);
}

int main(int argc, char **argv)
{
    zhandle_t *zh, *other;
    if (argc != 2) {
        fprintf(stderr, "usage: %s HOST:PORT\n", argv[0]);
        return 2;
    }
    zoo_set_debug_level(ZOO_LOG_LEVEL_ERROR);
    zh = connect_to(argv[1], NULL);
    other = connect_to(argv[1], NULL);
    ok("negotiated time-out", zoo_recv_timeout(zh) == TIMEOUT_MS, "%d", zoo_recv_timeout(zh));
    create_modes(zh);
    errors(zh);
    data_and_children(zh);
    watches(zh, other);
    remove_watch(zh);
    acls(zh, other);
    multi(zh);
    large(zh);
    restart(zh, other);
    session_end(argv[1], other);
    zookeeper_close(zh);
    zookeeper_close(other);
    return 0;
}
