/* SPDX-License-Identifier: ISC */
/*
 * priv_proto.c: Expands priv_verbs.def into encoders, decoders and checks: both ends of the border
 * run this file.
 */
#include "common/priv_proto.h"

#include <assert.h>

#include "common/frame.h"

/* A field between wire and struct: numbers in u, the rest in b. */
union value {
	uint64_t u;
	uint8_t b[PRIV_NAME];
};

enum shape { SHAPE_U8, SHAPE_U32, SHAPE_U64, SHAPE_MAC, SHAPE_NAME };

static const uint8_t shape_size[] = {[SHAPE_U8] = 1,
	[SHAPE_U32] = 4,
	[SHAPE_U64] = 8,
	[SHAPE_MAC] = 6,
	[SHAPE_NAME] = PRIV_NAME};

static bool any_ok(const union value *v)
{
	(void)v;
	return true;
}

static bool slot_ok(const union value *v)
{
	return v->u < BG_SLOTS_MAX;
}

static bool count_ok(const union value *v)
{
	return v->u >= 1 && v->u <= BG_SLOTS_MAX;
}

static bool bool_ok(const union value *v)
{
	return v->u <= 1;
}

static bool abilities_ok(const union value *v)
{
	return (v->u & ~(uint64_t)PRIV_ABILITY_ALL_) == 0;
}

static bool ipv4_ok(const union value *v)
{
	unsigned top = (unsigned)(v->u >> 24);

	return top >= 1 && top < 224 && top != 127;
}

static bool mac_ok(const union value *v)
{
	return (v->b[0] & 3) == 2;
}

static bool ifname_ok(const union value *v)
{
	size_t n = strnlen((const char *)v->b, PRIV_NAME);

	if (n <= 3 || n == PRIV_NAME || memcmp(v->b, "bgr", 3) != 0)
		return false;
	for (size_t i = 0; i < n; i++)
		if (!(v->b[i] >= 'a' && v->b[i] <= 'z') && !(v->b[i] >= '0' && v->b[i] <= '9') &&
			v->b[i] != '-')
			return false;
	for (size_t i = n; i < PRIV_NAME; i++)
		if (v->b[i] != 0)
			return false;
	return true;
}

static size_t digits(const uint8_t *p, size_t max)
{
	size_t n = 0;

	while (n < max && p[n] >= '0' && p[n] <= '9')
		n++;
	return n;
}

static bool node_ok(const union value *v)
{
	size_t uid = digits(v->b, 10), slot, end;

	if (uid == 0 || v->b[uid] != '-')
		return false;
	slot = digits(v->b + uid + 1, 2);
	end = uid + 1 + slot;
	for (size_t i = end; i < PRIV_NAME; i++)
		if (v->b[i] != 0)
			return false;
	return slot > 0;
}

static const struct {
	enum shape shape;
	bool (*ok)(const union value *);
} kinds[] = {
#define PRIV_KIND(NAME, shape_, check) [PRIV_KIND_##NAME] = {SHAPE_##shape_, check},
#include "common/priv_verbs.def"
#undef PRIV_KIND
};
static_assert(ARRAY_SIZE(kinds) == PRIV_KIND_END_, "one row per kind");

#define REQ(...)       __VA_ARGS__
#define REP(...)       __VA_ARGS__
#define F(field, KIND) {#field, PRIV_KIND_##KIND},
#define PRIV_VERB(NAME, name_, number, helper_, turn_, req_, req_fds, rep_, rep_fds, why_)         \
	{.name = #name_,                                                                           \
		.verb = PRIV_##NAME,                                                               \
		.helper = PRIV_HELPER_##helper_,                                                   \
		.turn = PRIV_TURN_##turn_,                                                         \
		.req = {{req_}, sizeof(((struct priv_req *)0)->name_), req_fds},                   \
		.rep = {{rep_}, sizeof(((struct priv_rep *)0)->name_), rep_fds},                   \
		.why = why_},
static const struct priv_row rows[] = {
#include "common/priv_verbs.def"
};
#undef PRIV_VERB
#undef F
#undef REQ
#undef REP

#define PRIV_VERB(NAME, name, number, helper, turn, req, req_fds, rep, rep_fds, why)               \
	static_assert((req_fds) <= BG_PRIV_FDS_MAX && (rep_fds) <= BG_PRIV_FDS_MAX, #name);        \
	static_assert((number) > 0 && (number) < 256, #name);
#include "common/priv_verbs.def"
#undef PRIV_VERB
static_assert(sizeof(struct priv_head) + sizeof(struct priv_rep) <= BG_PRIV_MSG_MAX, "room");
static_assert(sizeof(struct priv_head) + sizeof(struct priv_req) <= BG_PRIV_MSG_MAX, "room");

/* Everything that both builds must agree on, as text. */
static const char table_text[] =
#define PRIV_KIND(NAME, shape, check) "K" #NAME " " #shape " " #check "\n"
#include "common/priv_verbs.def"
#undef PRIV_KIND
#define PRIV_CODE(NAME, number, text) "C" #NAME " " #number "\n"
#include "common/priv_verbs.def"
#undef PRIV_CODE
#define PRIV_VERB(NAME, name, number, helper, turn, req, req_fds, rep, rep_fds, why)               \
	"V" #NAME " " #number " " #helper " " #turn " " #req " " #req_fds " " #rep " " #rep_fds "\n"
#include "common/priv_verbs.def"
#undef PRIV_VERB
	;

const struct priv_row *priv_row(unsigned verb)
{
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		if ((unsigned)rows[i].verb == verb)
			return &rows[i];
	return NULL;
}

const struct priv_row *priv_row_at(size_t i)
{
	assert(i < ARRAY_SIZE(rows));
	return &rows[i];
}

size_t priv_row_count(void)
{
	return ARRAY_SIZE(rows);
}

size_t priv_kind_size(enum priv_kind kind)
{
	return shape_size[kinds[kind].shape];
}

bool priv_kind_ok(enum priv_kind kind, const uint8_t *wire)
{
	size_t size = priv_kind_size(kind);
	union value v = {0};

	if (kinds[kind].shape == SHAPE_MAC || kinds[kind].shape == SHAPE_NAME)
		memcpy(v.b, wire, size);
	else
		memcpy(&v.u, wire, size);
	return kinds[kind].ok(&v);
}

/* FNV-1a, 64 bits: it guards against a mixed installation, not against an attacker. */
uint64_t priv_table_hash(void)
{
	uint64_t h = 0xcbf29ce484222325u;

	for (size_t i = 0; i < sizeof(table_text) - 1; i++)
		h = (h ^ (uint8_t)table_text[i]) * 0x100000001b3u;
	return h;
}

const char *priv_code_text(unsigned code)
{
	static const char *const texts[] = {
#define PRIV_CODE(NAME, number, text) [number] = text,
#include "common/priv_verbs.def"
#undef PRIV_CODE
	};
	static_assert(ARRAY_SIZE(texts) == PRIV_CODE_END_, "one text per code");

	return code < ARRAY_SIZE(texts) && texts[code] ? texts[code] : "unknown";
}

static bool fields_ok(const struct priv_body *body, const uint8_t *wire)
{
	for (const struct priv_field *f = body->fields; f->name; f++) {
		if (!priv_kind_ok(f->kind, wire))
			return false;
		wire += priv_kind_size(f->kind);
	}
	return true;
}

static int encode(const struct priv_body *body, struct priv_head head, const void *fields,
	const int *fds, struct priv_msg *ret)
{
	if (!fields_ok(body, fields))
		return -EINVAL;
	head.version = PRIV_VERSION;
	head.len = (uint16_t)body->size;
	head.nfds = (uint8_t)body->fds;
	memcpy(ret->buf, &head, sizeof(head));
	memcpy(ret->buf + sizeof(head), fields, body->size);
	ret->len = sizeof(head) + body->size;
	memcpy(ret->fds, fds, body->fds * sizeof(int));
	ret->nfds = body->fds;
	return 0;
}

int priv_req_encode(const struct priv_req *req, struct priv_msg *ret)
{
	const struct priv_row *row = priv_row(req->verb);
	struct priv_head head = {.verb = (uint8_t)req->verb, .id = req->id};

	if (!row || req->id == 0)
		return -EINVAL;
	return encode(&row->req, head, &req->hello, req->fds, ret);
}

int priv_rep_encode(const struct priv_rep *rep, struct priv_msg *ret)
{
	static const struct priv_body empty = {0};
	const struct priv_row *row = priv_row(rep->verb);
	struct priv_head head = {
		.verb = (uint8_t)rep->verb, .id = rep->id, .code = (uint16_t)rep->code};

	if (!row || (unsigned)rep->code >= PRIV_CODE_END_)
		return -EINVAL;
	if (rep->id == 0 && (row->turn != PRIV_TURN_FIRST || !priv_code_of_start(rep->code)))
		return -EINVAL;
	return encode(
		rep->code == PRIV_CODE_OK ? &row->rep : &empty, head, &rep->hello, rep->fds, ret);
}

static int decode_head(const struct priv_msg *msg, struct priv_head *ret)
{
	static const uint8_t zero[sizeof(ret->zero)];

	if (msg->len < sizeof(*ret))
		return -EBADMSG;
	memcpy(ret, msg->buf, sizeof(*ret));
	if (ret->version != PRIV_VERSION || memcmp(ret->zero, zero, sizeof(zero)) != 0 ||
		ret->len != msg->len - sizeof(*ret) || ret->nfds != msg->nfds)
		return -EBADMSG;
	return 0;
}

static int decode_body(const struct priv_body *body, const struct priv_head *head,
	const struct priv_msg *msg, void *fields, int *fds)
{
	if (head->len != body->size || head->nfds != body->fds ||
		!fields_ok(body, msg->buf + sizeof(*head)))
		return -EBADMSG;
	memcpy(fields, msg->buf + sizeof(*head), body->size);
	memcpy(fds, msg->fds, body->fds * sizeof(int));
	return 0;
}

int priv_req_decode(const struct priv_msg *msg, struct priv_req *ret)
{
	const struct priv_row *row;
	struct priv_head head;
	int r = decode_head(msg, &head);

	if (r < 0)
		return r;
	row = priv_row(head.verb);
	if (!row || head.id == 0 || head.code != 0)
		return -EBADMSG;
	*ret = (struct priv_req){.verb = row->verb, .id = head.id};
	return decode_body(&row->req, &head, msg, &ret->hello, ret->fds);
}

int priv_rep_decode(const struct priv_msg *msg, struct priv_rep *ret)
{
	static const struct priv_body empty = {0};
	const struct priv_row *row;
	struct priv_head head;
	int r = decode_head(msg, &head);

	if (r < 0)
		return r;
	row = priv_row(head.verb);
	if (!row || head.code >= PRIV_CODE_END_)
		return -EBADMSG;
	if (head.id == 0 && (row->turn != PRIV_TURN_FIRST || !priv_code_of_start(head.code)))
		return -EBADMSG;
	*ret = (struct priv_rep){
		.verb = row->verb, .id = head.id, .code = (enum priv_code)head.code};
	return decode_body(
		head.code == PRIV_CODE_OK ? &row->rep : &empty, &head, msg, &ret->hello, ret->fds);
}

int priv_msg_send(int sock, const struct priv_msg *msg)
{
	return bg_frame_send(sock, msg->buf, msg->len, msg->fds, msg->nfds);
}

int priv_msg_recv(int sock, struct priv_msg *ret)
{
	ret->len = ret->nfds = 0;
	return bg_frame_recv(
		sock, ret->buf, sizeof(ret->buf), &ret->len, ret->fds, BG_PRIV_FDS_MAX, &ret->nfds);
}

void priv_msg_close(struct priv_msg *msg)
{
	for (size_t i = 0; i < msg->nfds; i++)
		bg_close(msg->fds[i]);
	msg->nfds = 0;
}
