/* SPDX-License-Identifier: ISC */
/*
 * console.c: A state machine over bytes: an escape sequence is held until it has ended, then kept
 * (colors) or dropped (all others).
 */
#include "common/console.h"

static void hold(struct console *c, unsigned char byte)
{
	if (c->held_len < CONSOLE_HELD)
		c->held[c->held_len++] = (char)byte;
	else
		c->plain_csi = false;
}

static void begin(struct console *c, enum console_state state, unsigned char byte)
{
	c->state = state;
	c->held_len = 0;
	c->plain_csi = true;
	hold(c, byte);
}

/* Writes what was held and returns to text. */
static size_t release(struct console *c, char *out)
{
	size_t len = c->held_len;

	memcpy(out, c->held, len);
	c->held_len = 0;
	c->state = CONSOLE_TEXT;
	return len;
}

static size_t text_byte(struct console *c, unsigned char byte, char *out)
{
	if (byte == 0x1b) {
		begin(c, CONSOLE_ESC, byte);
		return 0;
	}
	if (byte == 0xc2) {
		begin(c, CONSOLE_C2, byte);
		return 0;
	}
	if (byte >= 0x20 ? byte == 0x7f : byte != '\n' && byte != '\t' && byte != '\r')
		return 0;
	*out = (char)byte;
	return 1;
}

/* The byte after ESC. */
static enum console_state after_escape(unsigned char byte)
{
	if (byte == '[')
		return CONSOLE_CSI;
	if (byte && strchr("]PX^_", byte))
		return CONSOLE_STRING;
	return byte >= 0x20 && byte < 0x30 ? CONSOLE_ESC_MORE : CONSOLE_TEXT;
}

/* Only "ESC [ digits and ; m" is let through: it changes colors and nothing else. */
static size_t csi_byte(struct console *c, unsigned char byte, char *out)
{
	hold(c, byte);
	if ((byte >= '0' && byte <= '9') || byte == ';')
		return 0;
	if (byte == 'm' && c->plain_csi)
		return release(c, out);
	c->plain_csi = false;
	if (byte >= 0x40 && byte < 0x7f)
		c->state = CONSOLE_TEXT;
	return 0;
}

static size_t c2_byte(struct console *c, unsigned char byte, char *out)
{
	if (byte < 0x80) { /* no UTF-8 at all: the byte stands for itself */
		c->state = CONSOLE_TEXT;
		return text_byte(c, byte, out);
	}
	hold(c, byte);
	if (byte >= 0xa0 && byte < 0xc0)
		return release(c, out);
	c->state = CONSOLE_TEXT;
	return 0;
}

/* A string ends with BEL or ESC \; any other escape sequence ends it too and begins anew. */
static void string_byte(struct console *c, unsigned char byte)
{
	if (byte == 0x1b)
		c->state = CONSOLE_STRING_ESC;
	else if (byte == 0x07)
		c->state = CONSOLE_TEXT;
}

static void string_escape_byte(struct console *c, unsigned char byte)
{
	if (byte == '\\') {
		c->state = CONSOLE_TEXT;
		return;
	}
	begin(c, CONSOLE_ESC, 0x1b);
	hold(c, byte);
	c->state = after_escape(byte);
}

/* A line end ends whatever was begun: a sequence that was cut off must not hide what follows. */
static bool ends_all(const struct console *c, unsigned char byte)
{
	return byte == '\n' && c->state != CONSOLE_TEXT;
}

static size_t one_byte(struct console *c, unsigned char byte, char *out)
{
	if (ends_all(c, byte))
		c->state = CONSOLE_TEXT;
	switch (c->state) {
	case CONSOLE_TEXT:
		return text_byte(c, byte, out);
	case CONSOLE_ESC:
		hold(c, byte);
		c->state = after_escape(byte);
		return 0;
	case CONSOLE_ESC_MORE:
		if (byte < 0x20 || byte >= 0x30)
			c->state = CONSOLE_TEXT;
		return 0;
	case CONSOLE_CSI:
		return csi_byte(c, byte, out);
	case CONSOLE_STRING:
		string_byte(c, byte);
		return 0;
	case CONSOLE_STRING_ESC:
		string_escape_byte(c, byte);
		return 0;
	case CONSOLE_C2:
		return c2_byte(c, byte, out);
	}
	return 0;
}

size_t console_clean(struct console *c, const char *text, size_t len, char *out)
{
	size_t n = 0;

	for (size_t i = 0; i < len; i++)
		n += one_byte(c, (unsigned char)text[i], out + n);
	return n;
}
