// SPDX-License-Identifier: Apache-2.0
/* The dialect of Hugging Face's Inference API and Endpoints: POST / and /models/OWNER/NAME,
 *
 *     {"inputs": TEXT | [TEXT, ...], "parameters": {...}, "options": {"use_cache", "wait_for_model", ...}}
 *     -> [{"generated_text": TEXT}, ...], for a list of inputs a list of these
 *
 * On the same path TGI's clients send its parameters and "stream". A body with "stream" in it, true or false, is one of
 * theirs, and what it leaves out has TGI's defaults; else it is the Inference API's: texts are sampled and 20 tokens
 * long. In both the prompt stands in front of the text unless "return_full_text" is false. */
#ifndef GPTJT_SERVER_API_HF_H
#define GPTJT_SERVER_API_HF_H

#include "server/dialect.h"

/* dialect_hf (dialect.h): events of its streams are TGI's. */

#endif
