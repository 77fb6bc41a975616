/* SPDX-License-Identifier: ISC */
/* No monitor in these tests: the image build is not part of them. */
#include "daemon/monitor_client.h"

int monitor_bootstrap_start(struct monitor_client *client, const struct bootstrap_spec *spec,
	void (*done)(int wait_status, void *userdata), void *userdata, struct bootstrap **ret, struct bg_err **err)
{
	return bg_err_set(err, BG_ERR_INTERNAL, ENOSYS, "there is no monitor here");
}

void bootstrap_free(struct bootstrap *bootstrap)
{
}

int monitor_client_new(struct loop *loop, int sock, struct monitor_client **ret, struct bg_err **err)
{
	*ret = NULL;
	return 0;
}

void monitor_client_free(struct monitor_client *client)
{
}
