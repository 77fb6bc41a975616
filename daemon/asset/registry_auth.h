/* SPDX-License-Identifier: ISC */
/*
 * registry_auth.h: the user's credentials for a registry, from where podman, skopeo and docker keep
 * them: $XDG_RUNTIME_DIR/containers/auth.json, ~/.config/containers/auth.json, ~/.docker/config.json. Reads those
 * files and nothing else; programs that keep credentials elsewhere (credsStore, credHelpers) are
 * not run, but named.
 */
#ifndef BG_DAEMON_ASSET_REGISTRY_AUTH_H
#define BG_DAEMON_ASSET_REGISTRY_AUTH_H

#include <jansson.h>

#include "common/oci_ref.h"
#include "common/paths.h"

/*
 * Adds "user" and "password", or "identity", to params when there are any for ref; "hint" says
 * what to do should the registry want others. CONFIG when a file cannot be understood.
 */
int registry_auth_add(const struct bg_paths *paths, const struct oci_ref *ref, json_t *params,
	struct bg_err **err);

#endif
