/* SPDX-License-Identifier: ISC */
/* vm.conf: any bytes are refused or give a struct whose texts fit and whose musts are there. */
#include "guest/conf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_err_ struct bg_err *err = NULL;
	struct conf c;

	if (conf_parse((const char *)data, size, &c, &err) < 0) {
		if (!err || !err->message)
			abort();
		return 0;
	}
	if (err || !c.hostname[0] || !c.root[0] == !c.base[0] || c.agent == CONF_AGENT_NONE ||
		strlen(c.id_text) != BG_ID_LEN || strchr(c.root, '/') || strchr(c.work, '/') ||
		strchr(c.modules, '/') || strchr(c.base, '/') || strchr(c.own, '/') ||
		(c.base[0] && (!c.own[0] || !c.store || !c.chunk || c.store % c.chunk)))
		abort();
	return 0;
}
