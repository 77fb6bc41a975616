/* SPDX-License-Identifier: ISC */
/* See identity.h. Every buffer with the secret in it is wiped before it is left. */
#include "daemon/vm/identity.h"

#include <sodium.h>
#include <stdio.h>

#define KEY_TYPE "ssh-ed25519"
#define PEM_HEAD "-----BEGIN OPENSSH PRIVATE KEY-----\n"
#define PEM_TAIL "-----END OPENSSH PRIVATE KEY-----\n"

enum {
	COMMENT_MAX = 255,
	BLOB_MAX = 1024, /* the private file before base64: about 230 bytes and the comment */
	PUBLIC_BLOB = 4 + sizeof(KEY_TYPE) - 1 + 4 + crypto_sign_PUBLICKEYBYTES,
	BASE64_VARIANT = sodium_base64_VARIANT_ORIGINAL,
	PEM_LINE = 70, /* as ssh-keygen breaks them */
	BLOCK = 8,     /* cipher "none" pads to this */
};

/* SSH's wire types appended to a buffer of known room. */
struct blob {
	uint8_t bytes[BLOB_MAX];
	size_t len;
};

static void put_u32(struct blob *b, uint32_t v)
{
	for (int shift = 24; shift >= 0; shift -= 8)
		b->bytes[b->len++] = (uint8_t)(v >> shift);
}

static void put_raw(struct blob *b, const void *p, size_t n)
{
	memcpy(b->bytes + b->len, p, n);
	b->len += n;
}

static void put_string(struct blob *b, const void *p, size_t n)
{
	put_u32(b, (uint32_t)n);
	put_raw(b, p, n);
}

static void put_text(struct blob *b, const char *s)
{
	put_string(b, s, strlen(s));
}

static void put_public(struct blob *b, const uint8_t *pub)
{
	put_text(b, KEY_TYPE);
	put_string(b, pub, crypto_sign_PUBLICKEYBYTES);
}

/* PROTOCOL.key, "list of private keys": a number twice, the key, the comment, 1 2 3… to a block. */
static void put_private_section(
	struct blob *b, const uint8_t *pub, const uint8_t *sec, const char *comment)
{
	uint32_t check = randombytes_random();

	put_u32(b, check);
	put_u32(b, check);
	put_public(b, pub);
	put_string(b, sec, crypto_sign_SECRETKEYBYTES);
	put_text(b, comment);
	for (uint8_t i = 1; b->len % BLOCK; i++)
		b->bytes[b->len++] = i;
}

static void put_key_file(
	struct blob *b, const uint8_t *pub, const uint8_t *sec, const char *comment)
{
	static const char magic[] = "openssh-key-v1"; /* with its NUL */
	struct blob part = {.len = 0};

	put_raw(b, magic, sizeof(magic));
	put_text(b, "none"); /* cipher */
	put_text(b, "none"); /* kdf */
	put_text(b, "");     /* kdf options */
	put_u32(b, 1);	     /* keys */
	put_public(&part, pub);
	put_string(b, part.bytes, part.len);
	part.len = 0;
	put_private_section(&part, pub, sec, comment);
	put_string(b, part.bytes, part.len);
	sodium_memzero(&part, sizeof(part));
}

static char *to_pem(const struct blob *b)
{
	char text[sodium_base64_ENCODED_LEN(BLOB_MAX, BASE64_VARIANT)];
	size_t len, at = 0, lines;
	char *pem, *p;

	(void)sodium_bin2base64(text, sizeof(text), b->bytes, b->len, BASE64_VARIANT);
	len = strlen(text);
	lines = (len + PEM_LINE - 1) / PEM_LINE;
	pem = p = malloc(sizeof(PEM_HEAD) + sizeof(PEM_TAIL) + len + lines);
	if (pem) {
		p = stpcpy(p, PEM_HEAD);
		for (; at < len; at += PEM_LINE) {
			size_t n = BG_MIN((size_t)PEM_LINE, len - at);

			p = mempcpy(p, text + at, n);
			*p++ = '\n';
		}
		(void)stpcpy(p, PEM_TAIL);
	}
	sodium_memzero(text, sizeof(text));
	return pem;
}

static char *to_public_line(const uint8_t *pub, const char *comment)
{
	char text[sodium_base64_ENCODED_LEN(PUBLIC_BLOB, BASE64_VARIANT)];
	struct blob b = {.len = 0};
	char *line = NULL;

	put_public(&b, pub);
	(void)sodium_bin2base64(text, sizeof(text), b.bytes, b.len, BASE64_VARIANT);
	if (asprintf(&line, KEY_TYPE " %s%s%s", text, *comment ? " " : "", comment) < 0)
		return NULL;
	return line;
}

void identity_free_pem(char *pem)
{
	if (pem)
		sodium_memzero(pem, strlen(pem));
	free(pem);
}

int identity_make_key(
	const char *comment, char **ret_private_pem, char **ret_public_line, struct bg_err **err)
{
	uint8_t pub[crypto_sign_PUBLICKEYBYTES], sec[crypto_sign_SECRETKEYBYTES];
	struct blob file = {.len = 0};
	char *pem, *line;

	if (strlen(comment) > COMMENT_MAX || strpbrk(comment, "\r\n"))
		return bg_err_set(
			err, BG_ERR_INTERNAL, EINVAL, "key comment is too long or not a line");
	if (sodium_init() < 0)
		return bg_err_set(err, BG_ERR_INTERNAL, EIO, "libsodium does not start");
	(void)crypto_sign_keypair(pub, sec);
	put_key_file(&file, pub, sec, comment);
	pem = to_pem(&file);
	line = to_public_line(pub, comment);
	sodium_memzero(sec, sizeof(sec));
	sodium_memzero(&file, sizeof(file));
	if (!pem || !line) {
		identity_free_pem(pem);
		free(line);
		return bg_err_set(err, BG_ERR_IO, ENOMEM, "no memory for a key");
	}
	*ret_private_pem = pem;
	*ret_public_line = line;
	return 0;
}
