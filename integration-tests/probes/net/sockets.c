#include "net.h"

enum { FASTOPEN = 0x20000000, FASTOPEN_CONNECT = 30, NOSIGNAL = 0x4000 };

struct vector {
    const void *at;
    u64 length;
};

struct message {
    struct gm_inet *to;
    u32 to_length;
    struct vector *vectors;
    u64 count;
    void *control;
    u64 control_length;
    int flags;
};

/* Data in the first packet: a connection that nobody calls one. */
PROBE(net_fastopen)
{
    long port = gm_number(args, "tcp", 0);
    int on = 1;
    if (!port)
        return GM_NEEDS;
    struct gm_inet to = gm_loopback(port);
    struct vector bytes = {"probe", 5};
    struct {
        struct message header;
        u32 length;
    } message = {{&to, sizeof to, &bytes, 1, 0, 0, 0}, 0};
    report->live = 1;
    long fd = report->said = CALL(__NR_socket, GM_AF_INET, GM_STREAM, 0);
    if (fd < 0)
        return GM_DONE;
    switch (gm_variant(args)) {
    case 1:
        report->said = CALL(__NR_sendmsg, fd, &message.header, FASTOPEN | NOSIGNAL);
        break;
    case 2:
        report->said = CALL(__NR_sendmmsg, fd, &message, 1, FASTOPEN | NOSIGNAL);
        break;
    case 3:
        report->said = CALL(__NR_setsockopt, fd, 6, FASTOPEN_CONNECT, &on, sizeof on);
        if (report->said >= 0)
            report->said = CALL(__NR_connect, fd, &to, sizeof to);
        if (report->said >= 0)
            report->said = CALL(__NR_sendto, fd, "probe", 5, NOSIGNAL, 0, 0);
        break;
    default:
        report->said = CALL(__NR_sendto, fd, "probe", 5, FASTOPEN | NOSIGNAL, &to, sizeof to);
    }
    report->value = report->said;
    gm_close(fd);
    return GM_DONE;
}

/* Every family of addresses, of streams and of datagrams. What the kernel lacks it
 * says so of itself. */
PROBE(net_families)
{
    long variant = gm_variant(args);
    if (variant >= 64)
        return GM_UNKNOWN;
    report->live = 1;
    report->said = CALL(__NR_socket, variant, GM_DGRAM, 0);
    report->value = variant;
    gm_close(report->said);
    return GM_DONE;
}

/* The kernel's own switchboards. */
PROBE(net_netlink)
{
    static const int PROTOCOLS[] = {0 /* route */, 12 /* netfilter */, 9 /* audit */,
                                    15 /* uevent */, 16 /* generic */, 4 /* diag */};
    long variant = gm_variant(args);
    if (variant >= (long)(sizeof PROTOCOLS / sizeof *PROTOCOLS))
        return GM_UNKNOWN;
    report->live = 1;
    report->said = CALL(__NR_socket, GM_AF_NETLINK, GM_RAW, PROTOCOLS[variant]);
    gm_close(report->said);
    return GM_DONE;
}

/* From a virtual machine to whoever runs it. Nothing is sent. */
PROBE(net_vsock)
{
    report->live = 1;
    report->said = CALL(__NR_socket, GM_AF_VSOCK, GM_STREAM, 0);
    gm_close(report->said);
    return GM_DONE;
}

static long connected(int abstract, const char *name, int type)
{
    struct gm_unix to;
    int length = gm_unix_name(&to, abstract, name);
    long fd = CALL(__NR_socket, GM_AF_UNIX, type, 0);
    if (fd < 0)
        return fd;
    long said = CALL(__NR_connect, fd, &to, length);
    gm_close(fd);
    return said;
}

/* A socket of the host's that has no path to be kept away from. */
PROBE(net_abstract)
{
    const char *name = gm_text(args, "abstract");
    struct gm_unix own;
    if (!name || gm_length(name) > 100)
        return GM_NEEDS;
    report->live = 1;
    if (gm_variant(args) == 1) { /* a name of its own, which others can find */
        long fd = report->said = CALL(__NR_socket, GM_AF_UNIX, GM_STREAM, 0);
        if (fd < 0)
            return GM_DONE;
        int length = gm_unix_name(&own, 1, "gm-probe-of-its-own");
        report->said = CALL(__NR_bind, fd, &own, length);
        if (report->said >= 0)
            report->said = CALL(__NR_listen, fd, 1);
        gm_close(fd);
    } else {
        report->said = connected(1, name, GM_STREAM);
    }
    return GM_DONE;
}

/* A socket that lies at a path, as those of daemons do. */
PROBE(net_path_unix)
{
    const char *path = gm_text(args, "unix");
    if (!path || gm_length(path) > 100)
        return GM_NEEDS;
    report->live = 1;
    report->said = connected(0, path, GM_STREAM);
    return GM_DONE;
}

/* Two ends between which descriptors can be handed on. */
PROBE(fd_scm_peer)
{
    int ends[2];
    report->live = 1;
    report->said = CALL(__NR_socketpair, GM_AF_UNIX, GM_STREAM, 0, ends);
    if (report->said < 0)
        return GM_DONE;
    struct {
        u64 length;
        int level, type, fd, pad;
    } control = {20, 1 /* SOL_SOCKET */, 1 /* SCM_RIGHTS */, ends[0], 0};
    struct vector byte = {"x", 1};
    struct message message = {0, 0, &byte, 1, &control, sizeof control, 0};
    report->said = CALL(__NR_sendmsg, ends[0], &message, NOSIGNAL);
    gm_close(ends[0]);
    gm_close(ends[1]);
    return GM_DONE;
}
