/* SPDX-License-Identifier: ISC */
/*
 * priv_proto.h: the messages of common/priv_verbs.def as C structs, and the one
 * codec that both sides use. A decoded struct is valid: every field has passed
 * its kind's check, length and descriptor count are exact, reserved bits are zero.
 *
 * Used by privhelper/ and daemon/priv/. Owns nothing; needs libc only, allocates
 * nothing. Must never accept what the encoder would not produce.
 *
 * On the wire: struct priv_head, then the verb's struct as it stands here (packed,
 * little-endian, so that neither side converts anything).
 */
#ifndef BG_COMMON_PRIV_PROTO_H
#define BG_COMMON_PRIV_PROTO_H

#include "common/base.h"
#include "common/limits.h"

#define PRIV_VERSION	1
#define PRIV_NAME	16 /* bytes of an IFNAME field: IFNAMSIZ */
#define PRIV_FIELDS_MAX 8

struct priv_head {
	uint8_t version; /* PRIV_VERSION */
	uint8_t verb;
	uint16_t len;  /* of the body */
	uint32_t id;   /* of the caller's choice, not 0; the reply repeats it */
	uint16_t code; /* enum priv_code; 0 in a request */
	uint8_t nfds;  /* descriptors that travel with it */
	uint8_t zero[5];
} __attribute__((packed));
_Static_assert(sizeof(struct priv_head) == 16, "wire format");
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "structs are the wire format");

enum priv_verb {
#define PRIV_VERB(NAME, name, number, ...) PRIV_##NAME = number,
#include "common/priv_verbs.def"
#undef PRIV_VERB
	PRIV_VERB_END_
};

enum priv_code {
#define PRIV_CODE(NAME, number, text) PRIV_CODE_##NAME = number,
#include "common/priv_verbs.def"
#undef PRIV_CODE
	PRIV_CODE_END_
};
/* Whether a helper may send it unasked, because it could not start. */
static inline bool priv_code_of_start(unsigned code)
{
	return code != PRIV_CODE_OK &&
	       (code <= PRIV_CODE_FAILED || code == PRIV_CODE_BUSY || code == PRIV_CODE_NO_DM ||
		       code == PRIV_CODE_NO_NODES);
}

enum priv_kind {
#define PRIV_KIND(NAME, shape, check) PRIV_KIND_##NAME,
#include "common/priv_verbs.def"
#undef PRIV_KIND
	PRIV_KIND_END_
};

enum priv_turn { PRIV_TURN_FIRST, PRIV_TURN_SESSION };

/* Who serves a verb: a set, as BOTH shows. */
enum priv_helper { PRIV_HELPER_NET = 1, PRIV_HELPER_DISK = 2, PRIV_HELPER_BOTH = 3 };

/* What an installed helper can do for this user; grows with the verbs. */
enum priv_ability {
	PRIV_ABILITY_NET = 1 << 0,
	PRIV_ABILITY_NAT = 1 << 1,
	PRIV_ABILITY_DNS = 1 << 2,
	PRIV_ABILITY_DISK = 1 << 3,
	PRIV_ABILITY_ALL_ =
		PRIV_ABILITY_NET | PRIV_ABILITY_NAT | PRIV_ABILITY_DNS | PRIV_ABILITY_DISK
};

#define PRIV_TYPE_U8(n)	  uint8_t n;
#define PRIV_TYPE_U32(n)  uint32_t n;
#define PRIV_TYPE_U64(n)  uint64_t n;
#define PRIV_TYPE_MAC(n)  uint8_t n[6];
#define PRIV_TYPE_NAME(n) char n[PRIV_NAME];

#define PRIV_C_SLOT	 PRIV_TYPE_U8
#define PRIV_C_COUNT	 PRIV_TYPE_U8
#define PRIV_C_INDEX	 PRIV_TYPE_U8
#define PRIV_C_BOOL	 PRIV_TYPE_U8
#define PRIV_C_ABILITIES PRIV_TYPE_U32
#define PRIV_C_HASH	 PRIV_TYPE_U64
#define PRIV_C_SLOTS	 PRIV_TYPE_U64
#define PRIV_C_IPV4	 PRIV_TYPE_U32
#define PRIV_C_MAC	 PRIV_TYPE_MAC
#define PRIV_C_IFNAME	 PRIV_TYPE_NAME
#define PRIV_C_NODE	 PRIV_TYPE_NAME

#define F(field, KIND) PRIV_C_##KIND(field)
#define REQ(...)       __VA_ARGS__
#define REP(...)       __VA_ARGS__

struct priv_req {
	enum priv_verb verb;
	uint32_t id;
	int fds[BG_PRIV_FDS_MAX]; /* as many as the verb's row says; borrowed from the message */
	union {
#define PRIV_VERB(NAME, name, number, helper, turn, req, req_fds, rep, rep_fds, why)               \
	struct {                                                                                   \
		req                                                                                \
	} __attribute__((packed)) name;
#include "common/priv_verbs.def"
#undef PRIV_VERB
	};
};

struct priv_rep {
	enum priv_verb verb;
	uint32_t id;	     /* the request's; 0 when the helper could not start */
	enum priv_code code; /* the fields and descriptors are there only with PRIV_CODE_OK */
	int fds[BG_PRIV_FDS_MAX];
	union {
#define PRIV_VERB(NAME, name, number, helper, turn, req, req_fds, rep, rep_fds, why)               \
	struct {                                                                                   \
		rep                                                                                \
	} __attribute__((packed)) name;
#include "common/priv_verbs.def"
#undef PRIV_VERB
	};
};
#undef F
#undef REQ
#undef REP

/* One datagram as it travels. After receipt it owns its descriptors. */
struct priv_msg {
	uint8_t buf[BG_PRIV_MSG_MAX];
	size_t len;
	int fds[BG_PRIV_FDS_MAX];
	size_t nfds;
};

/* A row of the table, for the dispatcher and for tests that walk it. */
struct priv_field {
	const char *name; /* NULL ends a list */
	enum priv_kind kind;
};

struct priv_body {
	struct priv_field fields[PRIV_FIELDS_MAX + 1];
	size_t size; /* bytes on the wire: the sum of its fields */
	size_t fds;  /* descriptors, exactly */
};

struct priv_row {
	const char *name;
	enum priv_verb verb;
	enum priv_helper helper;
	enum priv_turn turn;
	struct priv_body req, rep;
	const char *why;
};

/* The row of a verb; NULL for a number without one. Rows by position: 0 to priv_row_count() - 1. */
const struct priv_row *priv_row(unsigned verb);
const struct priv_row *priv_row_at(size_t i);
size_t priv_row_count(void);
size_t priv_kind_size(enum priv_kind kind);
/* Whether the kind's check lets these wire bytes through. */
bool priv_kind_ok(enum priv_kind kind, const uint8_t *wire);
/* Over every row, kind and code: two builds with the same number speak the same protocol. */
uint64_t priv_table_hash(void);
/* The text of a code; "unknown" for a number without one. */
const char *priv_code_text(unsigned code);

/* Encoders: 0, or -EINVAL when a field fails its own check (our bug). Descriptors are borrowed. */
int priv_req_encode(const struct priv_req *req, struct priv_msg *ret);
int priv_rep_encode(const struct priv_rep *rep, struct priv_msg *ret);
/* Decoders: 0, or -EBADMSG for anything that the encoder would not have made. */
int priv_req_decode(const struct priv_msg *msg, struct priv_req *ret);
int priv_rep_decode(const struct priv_msg *msg, struct priv_rep *ret);

/* bg_frame_send and bg_frame_recv of one message, with their error codes. */
int priv_msg_send(int sock, const struct priv_msg *msg);
int priv_msg_recv(int sock, struct priv_msg *ret);
/* Closes the descriptors of a received message. */
void priv_msg_close(struct priv_msg *msg);

#endif
