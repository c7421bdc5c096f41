#include "net.h"

/* How each kind of socket is made, and whether it can reach a listener. */
static const struct {
    int family, type, protocol;
} KINDS[] = {
    {GM_AF_INET, GM_STREAM, 0},    /* TCP */
    {GM_AF_INET, GM_DGRAM, 0},     /* UDP */
    {GM_AF_INET, GM_STREAM, 262},  /* MPTCP */
    {GM_AF_INET6, GM_STREAM, 0},   /* TCP to a mapped address */
    {GM_AF_INET, GM_DGRAM, 1},     /* ping */
    {GM_AF_INET, GM_RAW, 1},       /* raw ICMP */
    {GM_AF_INET, GM_STREAM, 132},  /* SCTP */
};

/* Says hello to a listener of the host's. */
PROBE(net_inet)
{
    long variant = gm_variant(args);
    if (variant >= (long)(sizeof KINDS / sizeof *KINDS))
        return GM_UNKNOWN;
    int udp = variant == 1;
    long port = gm_number(args, udp ? "udp" : "tcp", 0);
    if (variant < 4 && !port)
        return GM_NEEDS;
    report->live = 1;
    long fd = CALL(__NR_socket, KINDS[variant].family, KINDS[variant].type,
                   KINDS[variant].protocol);
    report->said = fd;
    if (fd < 0 || variant >= 4)
        return GM_DONE; /* beyond those, the socket itself is what nobody gets */
    struct gm_inet to = gm_loopback(port);
    if (KINDS[variant].family == GM_AF_INET6) {
        u8 six[28] = {GM_AF_INET6, 0, (u8)(port >> 8), (u8)port, 0, 0, 0, 0, 0, 0, 0,
                      0, 0, 0, 0, 0, 0, 0, 255, 255, 127, 0, 0, 1, 0, 0, 0, 0};
        report->said = CALL(__NR_connect, fd, six, sizeof six);
    } else {
        report->said = CALL(__NR_connect, fd, &to, sizeof to);
    }
    if (report->said >= 0)
        report->said = CALL(__NR_sendto, fd, "probe", 5, 0x4000, 0, 0);
    report->value = report->said;
    gm_close(fd);
    return GM_DONE;
}
