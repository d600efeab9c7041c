/* SPDX-License-Identifier: Apache-2.0 */
#include "flight.h"

enum flight_state { FLIGHT_IDLE, FLIGHT_IN_THE_AIR, FLIGHT_LANDED };

static void land(void *ctx, struct http_exchange *x)
{
    struct flight *flight = ctx;
    (void)x;
    /* Once it has landed the owner may clear it and free it. */
    const struct role_host *host = flight->host;
    atomic_store(&flight->state, FLIGHT_LANDED);
    host->wake(host->ctx);
}

void flight_start(struct flight *flight, const struct role_host *host)
{
    flight->host = host;
    atomic_store(&flight->state, FLIGHT_IN_THE_AIR);
    host->send(host->ctx, &flight->x, land, flight);
}

bool flight_idle(const struct flight *flight)
{
    return atomic_load(&flight->state) == FLIGHT_IDLE;
}

bool flight_landed(const struct flight *flight)
{
    return atomic_load(&flight->state) == FLIGHT_LANDED;
}

void flight_clear(struct flight *flight)
{
    http_exchange_release(&flight->x);
    flight->x = (struct http_exchange){0};
    atomic_store(&flight->state, FLIGHT_IDLE);
}

void flight_abandon(struct flight *flight)
{
    if (flight->host == NULL) {
        return;
    }
    /* Also when it has landed, and even when it was cleared since: the transport may still be in
     * `land`, on its way to the host. */
    flight->host->cancel(flight->host->ctx, &flight->x);
    flight_clear(flight);
}
