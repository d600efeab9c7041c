/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ROLE_PIECES_H
#define ROLE_PIECES_H

#include <pthread.h>

#include "model_message.h"
#include "plan.h"
#include "role.h"

/**
 * The model on its way down, piece by piece. A parent pushes piece 0, which opens the round; a child
 * asks for the others, one after the other:
 *
 *   GET .../model?exp=E&round=R&first=P    the piece that begins at parameter P
 *
 * A switch fetches each piece once, when the first of its children asks, and keeps the newest few for the
 * others. A child that is further behind than that has its piece fetched for it alone.
 * Internally locked.
 */
enum { PIECES_KEPT = 4 };

struct pieces_slot {
    uint32_t number;
    bool used, fetching;
    struct buf bytes;
};

struct pieces {
    pthread_mutex_t lock;
    pthread_cond_t landed;
    const struct role_host *host;
    const struct fed_assignment *assignment; /* of the switch: its parent, the experiment */
    const struct fed_plan *plan;
    uint32_t round; /* 0 = none is open */
    unsigned waiting; /* handlers that wait for the parent */
    struct pieces_slot slots[PIECES_KEPT];
};

void pieces_init(struct pieces *p, const struct role_host *host,
                 const struct fed_assignment *assignment, const struct fed_plan *plan);
void pieces_release(struct pieces *p);
/** Another round: what is kept is dropped. */
void pieces_open(struct pieces *p, uint32_t round);
/** GET of a piece, at a switch. May wait for the parent. */
void pieces_handle(struct pieces *p, const struct http_request *request, struct http_reply *reply);

/** What a GET of a piece asks for. */
struct pieces_asked {
    uint32_t round, number;
};
/**
 * Read the query, and hold it against what is here.
 * @param open  the open round
 * @retval CAIRN_ERR_MALFORMED, CAIRN_ERR_UNKNOWN, CAIRN_ERR_CLOSED, CAIRN_ERR_BUSY
 */
CAIRN_MUST_CHECK int pieces_read_query(const char *query, const struct fed_plan *plan,
                                       const uint8_t experiment[WIRE_EXPERIMENT], uint32_t open,
                                       struct pieces_asked *out, struct cairn_problem *why);
/** Answer with the bytes of a piece, which are taken over, or with what stood against it.
 * @param open  the open round, for who asked for one that is over */
void pieces_answer(struct http_reply *reply, int err, const struct cairn_problem *why,
                   uint32_t open, struct buf *bytes);
/**
 * Read an answer to such a GET.
 * @retval CAIRN_ERR_REFUSED  another round, model or piece than was asked for; also what wire_model_read says
 */
CAIRN_MUST_CHECK int pieces_read(struct span body, const struct fed_plan *plan,
                                 const uint8_t experiment[WIRE_EXPERIMENT],
                                 const struct pieces_asked *asked, struct wire_model *out,
                                 struct cairn_problem *why);

#endif
