/* SPDX-License-Identifier: ISC */
/* What speaks here: GET /v1/openapi.json and GET /v1/version. */
#include <stdio.h>

#include "common/agent_proto.h"
#include "common/commit.h"
#include "common/openapi.h"
#include "common/priv_proto.h"
#include "common/version.h"
#include "daemon/api/api.h"
#include "daemon/api/api_util.h"
#include "daemon/engine.h"

void api_openapi(struct http_call *call, struct engine *engine)
{
	(void)engine;
	http_reply(call, 200, openapi_new());
}

void api_version(struct http_call *call, struct engine *engine)
{
	char protocol[17];

	snprintf(protocol, sizeof(protocol), "%016llx", (unsigned long long)priv_table_hash());
	http_reply(call, 200,
		json_pack("{s:s, s:s?, s:s, s:s, s:i, s:i, s:o}", "version", BG_VERSION, "commit",
			*BG_COMMIT ? BG_COMMIT : NULL, "api", "v1", "helper_protocol", protocol,
			"agent_protocol", BG_AGENT_VERSION, "state_format", BG_STATE_FORMAT, "vmm",
			api_vmm_json(engine)));
}
