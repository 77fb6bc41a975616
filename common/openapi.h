/* SPDX-License-Identifier: ISC */
/*
 * openapi.h: the API's own description, OpenAPI 3.1, made of common/http_routes.def, api_fields.def, api_errors.def and
 * api_texts.def. docs/api.md is rendered from it by scripts/render-api.
 */
#ifndef BG_COMMON_OPENAPI_H
#define BG_COMMON_OPENAPI_H

#include <jansson.h>

/* A new reference; NULL when out of memory. */
json_t *openapi_new(void);

#endif
