/*
 * UTF-8 to and from UTF-16.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "os/windows/text.h"

#include <stdlib.h>
#include <windows.h>

char *inlay_text_narrow(const wchar_t *wide)
{
	int size = WideCharToMultiByte(CP_UTF8, 0, wide, -1, NULL, 0, NULL, NULL);
	char *text = size > 0 ? malloc((size_t)size) : NULL;

	if (text)
		WideCharToMultiByte(CP_UTF8, 0, wide, -1, text, size, NULL, NULL);
	return text;
}

wchar_t *inlay_text_wide(const char *text)
{
	int count = MultiByteToWideChar(CP_UTF8, 0, text, -1, NULL, 0);
	wchar_t *wide = count > 0 ? malloc((size_t)count * sizeof(*wide)) : NULL;

	if (wide)
		MultiByteToWideChar(CP_UTF8, 0, text, -1, wide, count);
	return wide;
}
