/* SPDX-License-Identifier: ISC */
/*
 * oci_ref.h: what people write for a container image: [docker://][HOST[:PORT]/]PATH[:TAG][@sha256:HEX],
 * with the defaults everybody is used to (Docker Hub, library/, latest). Grammar: "reference" of
 * the OCI distribution project. Owns strings only.
 */
#ifndef BG_COMMON_OCI_REF_H
#define BG_COMMON_OCI_REF_H

#include "common/err.h"

#define BG_SHA256_HEX	64
#define BG_OCI_DIGEST	(sizeof("sha256:") - 1 + BG_SHA256_HEX) /* bytes of "sha256:HEX" */
#define BG_OCI_NAME_MAX 255 /* bytes of host and path: what registries accept */

struct oci_ref {
	char *registry; /* as written, for credentials and people: "docker.io", "localhost:5000" */
	char *host;	/* whom to ask: "registry-1.docker.io" */
	char *repository; /* "library/debian" */
	char *tag;	  /* NULL when there is a digest only */
	char *digest;	  /* "sha256:HEX" or NULL; it wins over the tag */
};

/* USAGE with the part that is wrong. */
int oci_ref_parse(const char *text, struct oci_ref **ret, struct bg_err **err);
void oci_ref_free(struct oci_ref *ref);
BG_DEFINE_UNREF(oci_ref, struct oci_ref *, oci_ref_free)

/* The whole name with its defaults filled in; the caller's, NULL when out of memory. */
char *oci_ref_print(const struct oci_ref *ref);
/* The digest when there is one, else the tag. */
const char *oci_ref_reference(const struct oci_ref *ref);
/* The registry runs on this machine: no TLS is asked of it. */
bool oci_ref_is_loopback(const struct oci_ref *ref);
/* "sha256:" and 64 lower-case hex digits. */
bool oci_digest_valid(const char *s);

#endif
