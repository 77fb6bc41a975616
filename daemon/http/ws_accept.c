/* SPDX-License-Identifier: ISC */
/* The handshake of websocket.h. */
#include <sodium.h>
#include <stdio.h>
#include <strings.h>

#include "common/sha1.h"
#include "daemon/http/websocket.h"

#define KEY_GUID "258EAFA5-E914-47DA-95CA-C5AB0DC85B11" /* RFC 6455, 1.3 */

enum { KEY_TEXT = 24, KEY_SIZE = 16, BASE64_SHA1 = 29 };

/* Is word one of the comma-separated ones? */
static bool has_token(const char *list, const char *word)
{
	size_t len = strlen(word);

	while (list && *list) {
		size_t n;

		list += strspn(list, ", \t");
		n = strcspn(list, ", \t");
		if (n == len && strncasecmp(list, word, n) == 0)
			return true;
		list += n;
	}
	return false;
}

static bool is_one(const struct http_call *call, const char *name, const char *word)
{
	const char *value;

	return http_call_header(call, name, &value) == 1 && has_token(value, word);
}

static bool key_valid(const char *key)
{
	uint8_t raw[KEY_SIZE];
	size_t len = 0;

	return key && strlen(key) == KEY_TEXT &&
	       sodium_base642bin(raw, sizeof(raw), key, KEY_TEXT, NULL, &len, NULL,
		       sodium_base64_VARIANT_ORIGINAL) == 0 &&
	       len == KEY_SIZE;
}

static void accept_text(const char *key, char ret[BASE64_SHA1])
{
	char text[KEY_TEXT + sizeof(KEY_GUID)];
	uint8_t digest[BG_SHA1_SIZE];

	snprintf(text, sizeof(text), "%s%s", key, KEY_GUID);
	bg_sha1(text, strlen(text), digest);
	sodium_bin2base64(ret, BASE64_SHA1, digest, sizeof(digest), sodium_base64_VARIANT_ORIGINAL);
}

int ws_accept(const struct http_call *call, char answer[WS_ANSWER_MAX], struct bg_err **err)
{
	char accept[BASE64_SHA1];
	const char *key;

	if (!is_one(call, "Upgrade", "websocket") || !is_one(call, "Connection", "upgrade"))
		return bg_err_set(err, BG_ERR_BAD_REQUEST, EINVAL, "this is for WebSocket clients");
	if (!is_one(call, "Sec-WebSocket-Version", "13"))
		return bg_err_set(
			err, BG_ERR_BAD_REQUEST, EINVAL, "the WebSocket version is not 13");
	if (http_call_header(call, "Sec-WebSocket-Key", &key) != 1 || !key_valid(key))
		return bg_err_set(
			err, BG_ERR_BAD_REQUEST, EINVAL, "the WebSocket key is malformed");
	accept_text(key, accept);
	snprintf(answer, WS_ANSWER_MAX,
		"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
		"Sec-WebSocket-Accept: %s\r\n\r\n",
		accept);
	return 0;
}
