/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef KMR_FUZZ_STREAM_H
#define KMR_FUZZ_STREAM_H

/* Between the target stream.c and what stands in for QEMU, stand_in.c. */

#include "stand_in.h"

/* What the peer says. */
struct fuzz_stream {
    const uint8_t *data;
    size_t size, at;
    size_t zeros;     /* that come after the input */
    uint32_t pieces;  /* seed: it comes in pieces; 0: as much as is wanted */
    uint32_t trouble; /* seed: signals, silence, a reset; 0: none */
    bool blocked;     /* nothing is to be read before it was waited for */
};
extern struct fuzz_stream fuzz_in;

/* What we said. */
extern GByteArray *fuzz_sent;

/* Where the packets are that may be sent. */
extern const uint8_t *fuzz_packets, *fuzz_packets_end;

void fuzz_error_free(Error *err);

/* An input begins with three bytes that are not the peer's. */
#define FUZZ_PRELUDE 3
enum fuzz_mode {
    FUZZ_HELLO = 1,   /* the stream begins with its hello */
    FUZZ_PRIMARY = 2, /* we are the primary: ready, acknowledgements */
    FUZZ_ENDLESS = 4, /* the peer goes on with zeros, for long */
};

/* Bytes of the header of a checkpoint in this version of the stream. */
#define FUZZ_HEAD 28
#define FUZZ_MARK 16

/* What a right stream begins with: the primary's, the standby's. */
extern GByteArray *fuzz_hello, *fuzz_ready;

/* mutate.c: makes most of what libFuzzer made up pass the first checks. */
void fuzz_repair(uint8_t *data, size_t size, unsigned seed);

#endif
