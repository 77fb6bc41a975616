/* SPDX-License-Identifier: ISC */
/* See scope_msg.h. The D-Bus specification, "Message Protocol"; properties as systemd.resource-control(5) has them. */
#include "daemon/driver/scope_msg.h"

#include <endian.h>

enum { CALL = 1, RETURN = 2, REFUSAL = 3, TYPE_MAX = 4, VERSION = 1 };
enum { FIELD_PATH = 1, FIELD_INTERFACE = 2, FIELD_MEMBER = 3, FIELD_SIGNATURE = 8 };
enum { FIXED = 16, STOP_USEC = 20 * 1000 * 1000 };

static void put(struct scope_msg *m, const void *p, size_t len)
{
	if (m->full || len > sizeof(m->data) - m->len) {
		m->full = true;
		return;
	}
	memcpy(m->data + m->len, p, len);
	m->len += len;
}

static void align(struct scope_msg *m, size_t to)
{
	put(m, "\0\0\0\0\0\0\0", (to - m->len % to) % to);
}

static void put_u32(struct scope_msg *m, uint32_t n)
{
	const uint32_t le = htole32(n);

	align(m, 4);
	put(m, &le, sizeof(le));
}

static void put_u64(struct scope_msg *m, uint64_t n)
{
	const uint64_t le = htole64(n);

	align(m, 8);
	put(m, &le, sizeof(le));
}

static void put_string(struct scope_msg *m, const char *text)
{
	put_u32(m, (uint32_t)strlen(text));
	put(m, text, strlen(text) + 1);
}

static void put_signature(struct scope_msg *m, const char *text)
{
	const uint8_t len = (uint8_t)strlen(text);

	put(m, &len, 1);
	put(m, text, len + 1u);
}

/* The length of an array is known at its end. Returns where it begins. */
static size_t begin_array(struct scope_msg *m, size_t element)
{
	put_u32(m, 0);
	align(m, element);
	return m->len;
}

static void end_array(struct scope_msg *m, size_t length_at, size_t begun)
{
	const uint32_t le = htole32((uint32_t)(m->len - begun));

	if (!m->full)
		memcpy(m->data + length_at, &le, sizeof(le));
}

static void begin_property(struct scope_msg *m, const char *name, const char *type)
{
	align(m, 8);
	put_string(m, name);
	put_signature(m, type);
}

static void put_text_property(struct scope_msg *m, const char *name, const char *value)
{
	begin_property(m, name, "s");
	put_string(m, value);
}

static void put_number_property(struct scope_msg *m, const char *name, uint64_t value)
{
	begin_property(m, name, "t");
	put_u64(m, value);
}

/* Where the length of an array of 4-byte aligned elements that is put next will be. */
static size_t next_length(const struct scope_msg *m)
{
	return (m->len + 3) / 4 * 4;
}

static void put_properties(struct scope_msg *m, const struct scope_spec *spec)
{
	size_t at, begun;

	put_text_property(m, "Description", spec->description);
	put_text_property(m, "Slice", "app.slice");
	put_text_property(m, "CollectMode", "inactive-or-failed");
	begin_property(m, "Before", "as"); /* stopped after it: it shuts the guests down */
	at = next_length(m);
	begun = begin_array(m, 4);
	put_string(m, "banger-guests.service");
	end_array(m, at, begun);
	put_number_property(m, "TimeoutStopUSec", STOP_USEC);
	put_number_property(m, "MemoryHigh", spec->memory_high);
	put_number_property(m, "CPUWeight", SCOPE_CPU_WEIGHT);
	put_number_property(m, "TasksMax", SCOPE_TASKS_MAX);
	begin_property(m, "PIDs", "au");
	at = next_length(m);
	begun = begin_array(m, 4);
	put_u32(m, (uint32_t)spec->pid);
	end_array(m, at, begun);
}

static void put_body(struct scope_msg *m, const struct scope_spec *spec)
{
	size_t at, begun;

	put_string(m, spec->unit);
	put_string(m, "fail");
	at = next_length(m);
	begun = begin_array(m, 8);
	put_properties(m, spec);
	end_array(m, at, begun);
	(void)begin_array(m, 8); /* no units beside it */
}

static void put_field(struct scope_msg *m, uint8_t code, const char *type, const char *value)
{
	align(m, 8);
	put(m, &code, 1);
	put_signature(m, type);
	if (code == FIELD_SIGNATURE)
		put_signature(m, value);
	else
		put_string(m, value);
}

bool scope_msg_start(const struct scope_spec *spec, struct scope_msg *ret)
{
	const uint8_t fixed[4] = {'l', CALL, 0, VERSION};
	struct scope_msg body = {.len = 0};
	size_t at, begun;

	put_body(&body, spec);
	*ret = (struct scope_msg){.full = body.full};
	put(ret, fixed, sizeof(fixed));
	put_u32(ret, (uint32_t)body.len);
	put_u32(ret, 1);
	at = next_length(ret);
	begun = begin_array(ret, 8);
	put_field(ret, FIELD_PATH, "o", "/org/freedesktop/systemd1");
	put_field(ret, FIELD_INTERFACE, "s", "org.freedesktop.systemd1.Manager");
	put_field(ret, FIELD_MEMBER, "s", "StartTransientUnit");
	put_field(ret, FIELD_SIGNATURE, "g", "ssa(sv)a(sa(sv))");
	end_array(ret, at, begun);
	align(ret, 8);
	put(ret, body.data, body.len);
	return !ret->full;
}

static uint32_t get_u32(const uint8_t *p)
{
	uint32_t le;

	memcpy(&le, p, sizeof(le));
	return le32toh(le);
}

/* The string that the body of a refusal begins with. */
static const char *text_of(const uint8_t *body, size_t len)
{
	uint32_t n = len >= 5 ? get_u32(body) : 0;

	return n > 0 && n <= len - 5 && body[4 + n] == '\0' ? (const char *)body + 4
							    : "no reason given";
}

enum scope_answer scope_msg_answer(
	const uint8_t *input, size_t len, size_t *ret_len, const char **ret_text)
{
	uint64_t head, body;

	if (len < FIXED)
		return SCOPE_MORE;
	if (input[0] != 'l' || input[1] == 0 || input[1] > TYPE_MAX || input[3] != VERSION)
		return SCOPE_BROKEN;
	body = get_u32(input + 4);
	head = (FIXED + (uint64_t)get_u32(input + 12) + 7) / 8 * 8;
	if (head + body > SCOPE_ANSWER_MAX)
		return SCOPE_BROKEN;
	if (len < head + body)
		return SCOPE_MORE;
	*ret_len = (size_t)(head + body);
	if (input[1] == REFUSAL)
		*ret_text = text_of(input + head, (size_t)body);
	return input[1] == RETURN ? SCOPE_DONE : input[1] == REFUSAL ? SCOPE_REFUSED : SCOPE_OTHER;
}
