/* SPDX-License-Identifier: ISC */
/* vm_body.h: what `vm create` and `vm set` send, made of their flags; and labels as people read them. */
#ifndef BG_CLI_VM_BODY_H
#define BG_CLI_VM_BODY_H

#include <jansson.h>

#include "cli/args.h"

/* A text field, left out when value is NULL. */
void vm_body_text(json_t *body, const char *key, const char *value);
/* Spellings of docker, Lima and others, of the flags that several rows have. */
#define CPUS_ALSO   "--vcpu --vcpus --cpu"
#define MEMORY_ALSO "--mem"
#define DISK_ALSO   "--disk"

/* --cpus, --memory, --disk-size, --work-size, --balloon. */
int vm_body_sizes(const struct args *args, json_t *body, struct bg_err **err);
/* --nat, --no-nat. */
int vm_body_nat(const struct args *args, json_t *body, struct bg_err **err);
/* --autostart, --no-autostart, --restart. */
int vm_body_start(const struct args *args, json_t *body, struct bg_err **err);
/* When it starts by itself: "auto, always"; the caller's, empty for a VM that does not. */
char *vm_start_text(const json_t *vm);
/* --label KEY=VALUE; with removal also KEY-. */
int vm_body_labels(const struct args *args, json_t *body, bool removal, struct bg_err **err);

/* --publish HOST:GUEST, --expose-host PORT and, where the row has them, --unpublish HOST, --unexpose-host PORT. */
int vm_body_ports(const struct args *args, json_t *body, struct bg_err **err);
/* "127.0.0.1:8080 to 80, ..."; the caller's. */
char *vm_ports_text(const json_t *vm);
/* "host.vm:5432, ..."; the caller's. */
char *vm_exposed_text(const json_t *vm);

/* Whether it has label word: KEY or KEY=VALUE. */
bool vm_has_label(const json_t *vm, const char *word);
/* Takes the VMs out of the list that lack a label which --label names: KEY or KEY=VALUE. */
void vm_filter_labels(json_t *vms, const struct args *args);
/* "env=test, owner=me"; the caller's. */
char *vm_labels_text(const json_t *vm);

#endif
