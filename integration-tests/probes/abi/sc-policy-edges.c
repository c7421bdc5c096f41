#include "probe.h"

/* One step beyond what a rule of some profile allows: the mutants of the policies
 * (docs/architecture.md, "A wall left out") are told from the policies by these. No
 * argument does anything: descriptors are none, ranges empty, paths null. */
static const struct edge {
    long nr;
    long args[6];
} EDGES[] = {
    {__NR_mmap, {0, 4096, 6, 0x02, -1, 0}},
    {__NR_mmap, {0, 4096, 4, 0x02, -1, 0}},
    {__NR_mmap, {0, 4096, 7, 0x02, -1, 0}},
    {__NR_mmap, {0, 0, 5, 0x22, -1, 0}},
    {__NR_mmap, {0, 4096, 5, 0x03, -1, 0}},
    {__NR_mmap, {0, 4096, 5, 0x00, -1, 0}},
    {__NR_mmap, {0, 4096, 5, 0x06, -1, 0}},
    {__NR_mmap, {0, 4096, 5, 0x0a, -1, 0}},
    {__NR_mprotect, {0, 0, 5}},
    {__NR_close_range, {9, 8, 4}},
    {__NR_close_range, {9, 8, 2}},
    {__NR_close_range, {9, 8, 1}},
    {__NR_close_range, {9, 8, 0x80000000}},
    {__NR_mremap, {0}},
    {__NR_timer_create, {99, 0, 0}},
    {__NR_kill, {0x3fffffff, 0}},
    {__NR_fcntl, {-1, 8}},
    {__NR_fcntl, {-1, 0x80000000}},
    {__NR_fcntl, {0, 1030, 0}},
    {__NR_openat, {-1, 0, 01}},
    {__NR_openat, {-1, 0, 02}},
    {__NR_openat, {-1, 0, 0100}},
    {__NR_openat, {-1, 0, 01000}},
    {__NR_openat, {-1, 0, 010000000}},
    {__NR_openat, {-1, 0, 020000000}},
    {__NR_execveat, {62, 0, 0, 0, 0x1000}},
    {__NR_execveat, {63, 0, 0, 0, 0}},
    {__NR_clone, {0x800}},
    {__NR_socket, {1, 0x80801, 0}},
    {__NR_socket, {1, 0x80802, 0}},
    {__NR_socket, {2, 0x80805, 0}},
    {__NR_socket, {10, 0x80805, 0}},
    {__NR_socket, {2, 0x80801, 1}},
    {__NR_socket, {10, 0x80801, 1}},
    {__NR_socket, {2, 0x80802, 1}},
    {__NR_socket, {10, 0x80802, 1}},
    {__NR_getsockopt, {-1, 2, 4, 0, 0}},
    {__NR_getsockopt, {-1, 1, 5, 0, 0}},
    /* With CLONE_SIGHAND and without CLONE_VM none of them starts anything. */
    {__NR_clone, {0x00020800}},
    {__NR_clone, {0x02000800}},
    {__NR_clone, {0x04000800}},
    {__NR_clone, {0x08000800}},
    {__NR_clone, {0x20000800}},
    {__NR_clone, {0x40000800}},
    {__NR_sched_yield, {0}},
    {__NR_madvise, {0}},
    {__NR_getcwd, {0}},
    {__NR_readlink, {0}},
    {__NR_readlinkat, {-1}},
    {__NR_set_robust_list, {0, 1}},
    {__NR_rseq, {0}},
    {__NR_socket, {-1, 0x80801, 0}},
};

PROBE(sc_policy_edges)
{
    u64 which = (u64)gm_variant(args);
    if (which >= sizeof EDGES / sizeof *EDGES)
        return GM_NEEDS;
    const struct edge *edge = &EDGES[which];
    report->said = gm_call(edge->nr, edge->args[0], edge->args[1], edge->args[2], edge->args[3],
                           edge->args[4], edge->args[5]);
    return GM_DONE;
}
