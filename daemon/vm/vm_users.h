/* SPDX-License-Identifier: ISC */
/* vm_users.h: VMs as the users of images and kernels: the answers to what daemon/asset asks (asset.h). */
#ifndef BG_DAEMON_VM_VM_USERS_H
#define BG_DAEMON_VM_VM_USERS_H

#include "daemon/asset/asset.h"

extern const struct asset_users vm_users;

#endif
