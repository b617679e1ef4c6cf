// Bundles the front end into the files that the Python package serves: a script and a style for the
// widget, and for the page that shows one stream.
import { build } from "esbuild";

await build({
  entryPoints: [
    { in: "src/widget.ts", out: "widget" },
    { in: "src/widget.css", out: "widget" },
    { in: "src/standalone.ts", out: "view" },
    { in: "src/standalone.css", out: "view" },
  ],
  outdir: "../src/gpuview/static",
  absWorkingDir: import.meta.dirname,
  bundle: true,
  format: "esm",
  target: ["chrome116", "firefox124", "safari17.4"],
  minify: true,
  legalComments: "none",
  logLevel: "info",
});
