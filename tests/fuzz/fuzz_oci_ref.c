/* SPDX-License-Identifier: ISC */
/* Any text as the name of a container image: what is taken, prints as something that means the
 * same. */
#include "common/oci_ref.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_unref_(oci_ref) struct oci_ref *ref = NULL, *again = NULL;
	_free_ char *text = strndup((const char *)data, size), *one = NULL, *two = NULL;
	_err_ struct bg_err *err = NULL;

	if (!text)
		abort();
	if (oci_ref_parse(text, &ref, &err) < 0)
		return err ? 0 : (abort(), 0);
	one = oci_ref_print(ref);
	if (!one || oci_ref_parse(one, &again, NULL) < 0)
		abort();
	two = oci_ref_print(again);
	if (!bg_streq(one, two) || !bg_streq(ref->host, again->host) ||
		!bg_streq(oci_ref_reference(ref), oci_ref_reference(again)))
		abort();
	return 0;
}
