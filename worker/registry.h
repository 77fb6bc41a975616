/* SPDX-License-Identifier: ISC */
/*
 * registry.h: one repository of one registry, as the OCI distribution specification has it: where
 * its documents lie, and the credentials and tokens that it asks for. A token lives as long as
 * the job.
 */
#ifndef BG_WORKER_REGISTRY_H
#define BG_WORKER_REGISTRY_H

#include "worker/net.h"

struct registry {
	struct job *job;
	struct net *net;
	/* params; borrowed */
	const char *host, *repository, *user, *password, *identity, *hint;
	bool plain; /* http instead of https */
	int64_t stall_s;
	/* "Authorization: Bearer …", once one was asked for */
	char *auth;
	bool basic; /* it wants user and password with every request instead */
};

/* Reads the job's "host", "repository", "plain", "user", "password", "identity", "hint", "stall_s". */
int registry_open(struct registry *reg, struct job *job, struct bg_err **err);
void registry_close(struct registry *reg);
/* https://HOST/v2/REPOSITORY/WHAT/REFERENCE; the caller's, NULL when out of memory. */
char *registry_url(const struct registry *reg, const char *what, const char *reference);
/* Makes t one of this registry: credentials now and when they are asked for. */
void registry_transfer(struct registry *reg, struct transfer *t);
/* A document of at most max bytes; *t has text, size, type. NET_STATUS and REGISTRY_* errors. */
int registry_get(struct registry *reg, struct transfer *t, const char *what, const char *reference,
	uint64_t max, struct bg_err **err);

/* One parameter ("realm") of the first challenge of this scheme ("Bearer"): the caller's, NULL when there is none. */
char *challenge_param(const char *challenge, const char *scheme, const char *param);

#endif
