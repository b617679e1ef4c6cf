// The script of the page that shows one stream and nothing else.

import { show } from "./standalone/page";

show(document, new AbortController().signal);
