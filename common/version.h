/* SPDX-License-Identifier: ISC */
/*
 * version.h: what `banger version` tells beside BG_VERSION, which is meson.build's. Builds of one version may
 * differ here: it is what parts have to agree about.
 */
#ifndef BG_COMMON_VERSION_H
#define BG_COMMON_VERSION_H

/* Of the records in the state folder (daemon/store/record.h): a newer one is refused. */
#define BG_STATE_FORMAT 1

#endif
