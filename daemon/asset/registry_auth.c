/* SPDX-License-Identifier: ISC */
/* See registry_auth.h. The format: containers-auth.json(5), which is Docker's config.json. */
#include "daemon/asset/registry_auth.h"

#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>

#include "common/fd.h"
#include "common/json.h"

enum { FILE_MAX = 1024 * 1024, SECRET_MAX = 64 * 1024 };

/* Keys may be URLs with a version behind the host, as older dockers wrote them. */
static void plain_key(const char *key, char *out, size_t size)
{
	char *end;

	if (strncmp(key, "https://", 8) == 0)
		key += 8;
	else if (strncmp(key, "http://", 7) == 0)
		key += 7;
	snprintf(out, size, "%s", key);
	end = strstr(out, "/v1");
	if (!end)
		end = strstr(out, "/v2");
	if (end && (end[3] == '\0' || bg_streq(end + 3, "/")))
		*end = '\0';
	end = out + strlen(out);
	if (end > out && end[-1] == '/')
		end[-1] = '\0';
	if (bg_streq(out, "index.docker.io") || bg_streq(out, "registry-1.docker.io"))
		snprintf(out, size, "docker.io");
}

/* The entry of the longest key that is HOST or the start of HOST/PATH. */
static const json_t *find(const json_t *auths, const struct oci_ref *ref)
{
	char name[2 * BG_OCI_NAME_MAX], plain[2 * BG_OCI_NAME_MAX];
	const json_t *best = NULL, *entry;
	size_t best_len = 0;
	const char *key;

	snprintf(name, sizeof(name), "%s/%s", ref->registry, ref->repository);
	json_object_foreach ((json_t *)(uintptr_t)auths, key, entry) {
		size_t len;

		plain_key(key, plain, sizeof(plain));
		len = strlen(plain);
		if (len > best_len && strncmp(plain, name, len) == 0 &&
			(name[len] == '/' || name[len] == '\0')) {
			best = entry;
			best_len = len;
		}
	}
	return best;
}

static int bad(const char *path, const char *why, struct bg_err **err)
{
	return bg_err_set(err, BG_ERR_CONFIG, EINVAL, "%s: %s", path, why);
}

/* "auth" is base64 of USER:PASSWORD. */
static int take_auth(const char *path, const char *auth, json_t *params, struct bg_err **err)
{
	_free_ char *text = calloc(1, SECRET_MAX + 1);
	size_t len = 0;
	char *colon;

	if (!text)
		return bg_err_set(err, BG_ERR_INTERNAL, ENOMEM, "out of memory");
	if (sodium_base642bin((unsigned char *)text, SECRET_MAX, auth, strlen(auth), "\r\n ", &len,
		    NULL, sodium_base64_VARIANT_ORIGINAL) < 0 ||
		strlen(text) != len || !(colon = strchr(text, ':')))
		return bad(path, "an \"auth\" in it is not base64 of USER:PASSWORD", err);
	*colon++ = '\0';
	/* Docker pads with NULs at times; an identity token comes with this user and no password.
	 */
	if (!bg_streq(text, "<token>") && *text) {
		json_object_set_new(params, "user", bg_json_str(text));
		json_object_set_new(params, "password", bg_json_str(colon));
	}
	sodium_memzero(text, SECRET_MAX);
	return 0;
}

/* 1 when the file had credentials. */
static int take_entry(const char *path, const json_t *entry, json_t *params, struct bg_err **err)
{
	const char *auth = NULL, *identity = NULL;
	int r = 0;

	if (bg_json_get_str(entry, "identitytoken", &identity) >= 0 && *identity) {
		json_object_set_new(params, "identity", bg_json_str(identity));
		return 1;
	}
	if (bg_json_get_str(entry, "auth", &auth) >= 0 && *auth)
		r = take_auth(path, auth, params, err);
	return r < 0 ? r : json_object_get(params, "user") != NULL;
}

static void name_helper(
	const char *path, const json_t *doc, const struct oci_ref *ref, json_t *params)
{
	const char *helper = NULL;
	char hint[512];

	(void)bg_json_get_str(doc, "credsStore", &helper);
	(void)bg_json_get_str(json_object_get(doc, "credHelpers"), ref->registry, &helper);
	if (bg_isempty(helper) || json_object_get(params, "hint"))
		return;
	snprintf(hint, sizeof(hint),
		"%s leaves credentials to docker-credential-%.40s, which banger does not run: "
		"`podman "
		"login %.100s` keeps them where banger reads them",
		path, helper, ref->registry);
	json_object_set_new(params, "hint", bg_json_str(hint));
}

static int look_in(const char *path, const struct oci_ref *ref, json_t *params, struct bg_err **err)
{
	_free_ char *text = NULL;
	_json_ json_t *doc = NULL;
	const json_t *entry;
	size_t len = 0;
	int r = bg_read_file_at(AT_FDCWD, path, FILE_MAX, &text, &len);

	if (r == -ENOENT || r == -ENOTDIR)
		return 0;
	if (r < 0)
		return bg_err_sys(err, BG_ERR_CONFIG, -r, "read %s", path);
	doc = json_loadb(text, len, 0, NULL);
	if (!json_is_object(doc))
		return bad(path, "it is not a JSON object", err);
	entry = find(json_object_get(doc, "auths"), ref);
	r = entry ? take_entry(path, entry, params, err) : 0;
	if (r == 0)
		name_helper(path, doc, ref, params);
	return r;
}

int registry_auth_add(const struct bg_paths *paths, const struct oci_ref *ref, json_t *params,
	struct bg_err **err)
{
	static const char *const places[] = {
		"containers/auth.json", ".config/containers/auth.json", ".docker/config.json"};
	const char *runtime = getenv("XDG_RUNTIME_DIR");

	for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
		const char *dir = i == 0 ? runtime : paths->home;
		_free_ char *path = NULL;
		int r;

		if (!dir || dir[0] != '/')
			continue;
		if (asprintf(&path, "%s/%s", dir, places[i]) < 0)
			return bg_err_set(err, BG_ERR_INTERNAL, ENOMEM, "out of memory");
		r = look_in(path, ref, params, err);
		if (r != 0)
			return r < 0 ? r : 0;
	}
	return 0;
}
