/* Addresses without a libc. */
#ifndef GM_NET_H
#define GM_NET_H

#include "probe.h"

enum {
    GM_AF_UNIX = 1, GM_AF_INET = 2, GM_AF_INET6 = 10, GM_AF_NETLINK = 16,
    GM_AF_PACKET = 17, GM_AF_ALG = 38, GM_AF_VSOCK = 40, GM_AF_XDP = 44,
    GM_STREAM = 1, GM_DGRAM = 2, GM_RAW = 3, GM_SEQPACKET = 5
};

struct gm_inet {
    unsigned short family, port;
    u8 address[4];
    u8 zero[8];
};

struct gm_unix {
    unsigned short family;
    char path[108];
};

static inline struct gm_inet gm_loopback(long port)
{
    struct gm_inet to = {GM_AF_INET, (unsigned short)((port & 255) << 8 | port >> 8),
                         {127, 0, 0, 1}, {0}};
    return to;
}

/* An address of a name, of at most 100 letters; its length. An abstract one begins
 * with the zero that ends the other kind. */
static inline int gm_unix_name(struct gm_unix *to, int abstract, const char *name)
{
    long length = gm_length(name);
    gm_zero(to, sizeof *to);
    to->family = GM_AF_UNIX;
    gm_join(to->path + (abstract ? 1 : 0), name);
    return (int)(2 + length + 1);
}

#endif
