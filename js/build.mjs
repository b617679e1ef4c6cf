// Bundles the front end into the two files that the Python package serves.
import { build } from "esbuild";

await build({
  entryPoints: ["src/widget.ts", "src/widget.css"],
  outdir: "../src/gpuview/static",
  absWorkingDir: import.meta.dirname,
  bundle: true,
  format: "esm",
  target: ["chrome116", "firefox124", "safari17.4"],
  minify: true,
  legalComments: "none",
  logLevel: "info",
});
