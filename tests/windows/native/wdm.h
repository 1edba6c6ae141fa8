/* wdm.h is part of ntifs.h here. SPDX-License-Identifier: Apache-2.0 */
#include "ntifs.h"
