#include "probe.h"

enum { CREATE = 01000, KEY = 0x676d7072, REMOVE = 0 };

/* Memory and queues that all of one namespace share, by number or name. */
PROBE(ipc_sysv_mq)
{
    report->live = 1;
    switch (gm_variant(args)) {
    case 1:
        report->said = CALL(__NR_msgget, KEY, CREATE | 0600);
        if (report->said >= 0)
            CALL(__NR_msgctl, report->said, REMOVE, 0);
        break;
    case 2:
        report->said = CALL(__NR_semget, KEY, 1, CREATE | 0600);
        if (report->said >= 0)
            CALL(__NR_semctl, report->said, 0, REMOVE);
        break;
    case 3:
        report->said = CALL(__NR_mq_open, "gm-probe", GM_O_RDWR | GM_O_CREAT, 0600, 0);
        if (report->said >= 0)
            CALL(__NR_mq_unlink, "gm-probe");
        break;
    default:
        report->said = CALL(__NR_shmget, KEY, 4096, CREATE | 0600);
        if (report->said >= 0)
            CALL(__NR_shmctl, report->said, REMOVE, 0);
    }
    return GM_DONE;
}

/* Keys of the session and of the user. */
PROBE(ipc_keyring)
{
    enum { PROCESS = -2, SESSION = -3, USER = -4, GET_ID = 0, REVOKE = 3 };
    report->live = 1;
    switch (gm_variant(args)) {
    case 1:
        report->said = CALL(__NR_keyctl, GET_ID, SESSION, 0);
        break;
    case 2:
        report->said = CALL(__NR_keyctl, GET_ID, USER, 0);
        break;
    case 3: /* what nobody has: asking is enough */
        report->said = CALL(__NR_request_key, "user", "gm-probe-missing", 0, 0);
        break;
    default:
        report->said = CALL(__NR_add_key, "user", "gm-probe", "x", 1, PROCESS);
        if (report->said >= 0)
            CALL(__NR_keyctl, REVOKE, report->said);
    }
    return GM_DONE;
}
