/* Arguments, report, and the way from an id to its probe. */
#include "probe.h"

struct gm_entry {
    const char *id;
    int (*run)(const struct gm_args *args, struct gm_report *report);
};

/* Made from the rows of probes.toml; its end has no id. */
extern const struct gm_entry gm_table[];

static const char *const ERRNO[] = {
    "ok", "EPERM", "ENOENT", "ESRCH", "EINTR", "EIO", "ENXIO", "E2BIG", "ENOEXEC",
    "EBADF", "ECHILD", "EAGAIN", "ENOMEM", "EACCES", "EFAULT", "ENOTBLK", "EBUSY",
    "EEXIST", "EXDEV", "ENODEV", "ENOTDIR", "EISDIR", "EINVAL", "ENFILE", "EMFILE",
    "ENOTTY", "ETXTBSY", "EFBIG", "ENOSPC", "ESPIPE", "EROFS", "EMLINK", "EPIPE",
    "EDOM", "ERANGE", "EDEADLK", "ENAMETOOLONG", "ENOLCK", "ENOSYS", "ENOTEMPTY",
    "ELOOP", 0, "ENOMSG", "EIDRM", "ECHRNG", "EL2NSYNC", "EL3HLT", "EL3RST",
    "ELNRNG", "EUNATCH", "ENOCSI", "EL2HLT", "EBADE", "EBADR", "EXFULL", "ENOANO",
    "EBADRQC", "EBADSLT", 0, "EBFONT", "ENOSTR", "ENODATA", "ETIME", "ENOSR",
    "ENONET", "ENOPKG", "EREMOTE", "ENOLINK", "EADV", "ESRMNT", "ECOMM", "EPROTO",
    "EMULTIHOP", "EDOTDOT", "EBADMSG", "EOVERFLOW", "ENOTUNIQ", "EBADFD", "EREMCHG",
    "ELIBACC", "ELIBBAD", "ELIBSCN", "ELIBMAX", "ELIBEXEC", "EILSEQ", "ERESTART",
    "ESTRPIPE", "EUSERS", "ENOTSOCK", "EDESTADDRREQ", "EMSGSIZE", "EPROTOTYPE",
    "ENOPROTOOPT", "EPROTONOSUPPORT", "ESOCKTNOSUPPORT", "EOPNOTSUPP",
    "EPFNOSUPPORT", "EAFNOSUPPORT", "EADDRINUSE", "EADDRNOTAVAIL", "ENETDOWN",
    "ENETUNREACH", "ENETRESET", "ECONNABORTED", "ECONNRESET", "ENOBUFS", "EISCONN",
    "ENOTCONN", "ESHUTDOWN", "ETOOMANYREFS", "ETIMEDOUT", "ECONNREFUSED",
    "EHOSTDOWN", "EHOSTUNREACH", "EALREADY", "EINPROGRESS", "ESTALE", "EUCLEAN",
    "ENOTNAM", "ENAVAIL", "EISNAM", "EREMOTEIO", "EDQUOT", "ENOMEDIUM",
    "EMEDIUMTYPE", "ECANCELED", "ENOKEY", "EKEYEXPIRED", "EKEYREVOKED",
    "EKEYREJECTED", "EOWNERDEAD", "ENOTRECOVERABLE", "ERFKILL", "EHWPOISON",
};

long gm_length(const char *text)
{
    long length = 0;
    while (text[length])
        length++;
    return length;
}

int gm_same(const char *one, const char *other)
{
    while (*one && *one == *other)
        one++, other++;
    return *one == *other;
}

char *gm_join(char *to, const char *text)
{
    while (*text)
        *to++ = *text++;
    *to = 0;
    return to;
}

char *gm_decimal(char *to, long number)
{
    char digits[24];
    int at = 0;
    u64 rest = number < 0 ? -(u64)number : (u64)number;
    if (number < 0)
        *to++ = '-';
    do
        digits[at++] = (char)('0' + rest % 10);
    while (rest /= 10);
    while (at)
        *to++ = digits[--at];
    *to = 0;
    return to;
}

void gm_zero(void *to, long length)
{
    volatile u8 *at = to;
    while (length-- > 0)
        *at++ = 0;
}

const char *gm_text(const struct gm_args *args, const char *key)
{
    for (int n = 0; n < args->count; n++) {
        const char *word = args->words[n], *name = key;
        while (*name && *word == *name)
            word++, name++;
        if (!*name && *word == '=')
            return word + 1;
    }
    return 0;
}

long gm_number(const struct gm_args *args, const char *key, long otherwise)
{
    const char *text = gm_text(args, key);
    long number = 0;
    if (!text || !*text)
        return otherwise;
    for (; *text; text++) {
        if (*text < '0' || *text > '9' || number > (1L << 58))
            return otherwise;
        number = number * 10 + (*text - '0');
    }
    return number;
}

void gm_see(struct gm_report *report, const void *bytes, long length)
{
    const char *from = bytes;
    while (length-- > 0 && report->length < GM_SEEN)
        report->seen[report->length++] = *from++;
}

long gm_see_descriptor(struct gm_report *report, int fd)
{
    char buffer[512];
    long got = CALL(__NR_read, fd, buffer, sizeof buffer);
    if (got < 0)
        return got;
    gm_see(report, buffer, got);
    return 0;
}

long gm_see_file(struct gm_report *report, const char *path)
{
    long fd = gm_open(path, GM_O_RDONLY);
    if (fd < 0)
        return fd;
    long said = gm_see_descriptor(report, (int)fd);
    gm_close(fd);
    return said;
}

/* Bytes as one word of one line: what isn't plain is %XX. */
static char *escaped(char *to, const char *bytes, long length)
{
    static const char HEX[] = "0123456789abcdef";
    for (long n = 0; n < length; n++) {
        u8 byte = (u8)bytes[n];
        int letter = (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z');
        int plain = letter || (byte >= '0' && byte <= '9') || byte == '-' ||
                    byte == '_' || byte == '.' || byte == '/' || byte == ':';
        if (plain) {
            *to++ = (char)byte;
        } else {
            *to++ = '%';
            *to++ = HEX[byte >> 4];
            *to++ = HEX[byte & 15];
        }
    }
    *to = 0;
    return to;
}

const char *gm_errno(long number)
{
    const char *name = 0;
    if (number >= 0 && number < (long)(sizeof ERRNO / sizeof *ERRNO))
        name = ERRNO[number];
    return name ? name : "unnamed";
}

long gm_probe_text(int argc, char **argv, char *to)
{
    if (argc < 1)
        return -GM_UNKNOWN;
    char *at = to;
    if (gm_same(argv[0], "self")) {
        long length = argc > 1 ? gm_length(argv[1]) : 0;
        if (length > 256)
            return -GM_NEEDS;
        at = gm_join(at, "self=");
        at = gm_join(at, argc > 1 ? argv[1] : "");
        return gm_join(at, "\n") - to;
    }
    struct gm_args args = {argc - 1, argv + 1};
    for (const struct gm_entry *entry = gm_table; entry->id; entry++) {
        if (!gm_same(entry->id, argv[0]))
            continue;
        struct gm_report report;
        gm_zero(&report, sizeof report);
        int code = entry->run(&args, &report);
        if (code)
            return -code;
        if (report.length) {
            at = gm_join(at, "seen=");
            at = escaped(at, report.seen, report.length);
            at = gm_join(at, "\n");
        }
        at = gm_join(at, "probe=");
        at = gm_join(at, entry->id);
        at = gm_join(at, report.live ? " form=live said=" : " form=harmless said=");
        at = gm_join(at, gm_errno(report.said < 0 ? -report.said : 0));
        at = gm_join(at, " value=");
        at = gm_decimal(at, report.value);
        return gm_join(at, "\n") - to;
    }
    return -GM_UNKNOWN;
}

__attribute__((visibility("default"))) int gm_probe_main(int argc, char **argv, int out_fd)
{
    char line[GM_LINE];
    long length = gm_probe_text(argc, argv, line);
    if (length < 0)
        return (int)-length;
    for (long done = 0; done < length;) {
        long said = CALL(__NR_write, out_fd, line + done, length - done);
        if (said == -GM_EINTR)
            continue;
        if (said <= 0)
            return 74; /* EX_IOERR: who asked can't be told */
        done += said;
    }
    return GM_DONE;
}
