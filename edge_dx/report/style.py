"""The page's look: dark on white, one accent, contrast of at least 4.5 to 1, fit for paper."""

CSS = """
:root { --ink: #16202a; --soft: #4a5763; --line: #d5dbe1; --band: #f4f6f8; --accent: #0b4f7d; }
* { box-sizing: border-box; }
body { margin: 0; background: #fff; color: var(--ink);
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", "Liberation Sans", Arial, sans-serif; }
main { max-width: 1040px; margin: 0 auto; padding: 28px 28px 56px; }
header { border-bottom: 3px solid var(--accent); padding-bottom: 14px; }
h1 { font-size: 26px; line-height: 1.2; margin: 0 0 4px; color: var(--accent); }
h2 { font-size: 19px; margin: 40px 0 10px; padding-bottom: 4px; color: var(--accent);
  border-bottom: 1px solid var(--line); }
h3 { font-size: 16px; margin: 24px 0 8px; }
h4, h5, h6 { font-size: 15px; margin: 18px 0 6px; }
p { margin: 6px 0 10px; max-width: 76ch; }
.sub, .note, figcaption .why, caption { color: var(--soft); }
.note { font-size: 14px; }
.verdict, .warn { border: 1px solid; border-left-width: 6px; padding: 10px 16px; margin: 18px 0; }
.verdict.pass { border-color: #1c6b3c; background: #f1f8f3; }
.verdict.fail { border-color: #a3202c; background: #fdf3f3; }
.warn { border-color: #8a5a00; background: #fdf8ec; }
.verdict strong { font-size: 17px; }
.verdict ul { margin: 6px 0 0; padding-left: 22px; }
dl { display: grid; grid-template-columns: 11em 1fr; gap: 5px 16px; margin: 10px 0; }
dt { color: var(--soft); } dd { margin: 0; overflow-wrap: anywhere; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; margin: 10px 0 16px; font-size: 14px; min-width: 50%; }
th, td { text-align: left; padding: 5px 14px 5px 8px; border-bottom: 1px solid var(--line);
  vertical-align: top; overflow-wrap: break-word; }
td:first-child { overflow-wrap: anywhere; } td a { white-space: nowrap; }
th { background: var(--band); font-weight: 600; border-bottom-color: #aab4bd; }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
caption { text-align: left; font-size: 14px; padding-bottom: 4px; }
code { font: 13px/1.4 ui-monospace, "DejaVu Sans Mono", "Liberation Mono", monospace; }
.tag { display: inline-block; padding: 0 8px; border: 1px solid; border-radius: 3px;
  font-size: 13px; font-weight: 600; white-space: nowrap; }
.positive, .failed, .bad { color: #8f2d00; background: #fff4ee; }
.measured { color: #2c5a1e; background: #f1f8ee; }
.negative, .good { color: #0b4f7d; background: #eff6fb; }
.indeterminate { color: #6b4a00; background: #fdf6e3; }
.not_analysed, .skip { color: #3d4852; background: #f1f3f5; }
.films { display: grid; grid-template-columns: repeat(auto-fill, minmax(228px, 1fr));
  gap: 18px; margin: 14px 0; }
figure { margin: 0; border: 1px solid var(--line); break-inside: avoid; }
figure img { display: block; width: 100%; height: 228px; object-fit: contain; background: #0e1115; }
figure .none { height: 228px; display: grid; place-items: center; padding: 12px;
  text-align: center; background: var(--band); color: var(--soft); font-size: 14px; }
figcaption { padding: 8px 10px 10px; font-size: 13px; line-height: 1.45; overflow-wrap: anywhere; }
figcaption b { display: block; font-weight: 600; }
.headline { display: flex; flex-wrap: wrap; gap: 12px; margin: 12px 0 16px; }
.headline div { flex: 1 1 200px; border: 1px solid var(--line); border-top: 3px solid var(--accent);
  padding: 10px 14px; }
.headline b { display: block; font-size: 26px; line-height: 1.25; }
.headline span { color: var(--soft); font-size: 14px; }
.pair { display: flex; flex-wrap: wrap; gap: 32px; align-items: flex-start; }
.pair > div { flex: 1 1 420px; }
.roc text { font: 12px system-ui, "Liberation Sans", Arial, sans-serif; fill: #16202a; }
.scale { max-width: 460px; margin: 12px 0; }
.scale .bar { height: 18px; border: 1px solid #8a949e; }
.scale .ends { display: flex; justify-content: space-between; font-size: 13px; }
details { margin: 10px 0; } summary { cursor: pointer; color: var(--accent); }
.card { border: 1px solid var(--line); padding: 4px 22px 14px; }
footer { margin-top: 44px; border-top: 1px solid var(--line); padding-top: 12px;
  color: var(--soft); font-size: 14px; }
@media print {
  @page { size: A4; margin: 14mm; }
  * { -webkit-print-color-adjust: exact; print-color-adjust: exact; }
  body { font-size: 10pt; } main { max-width: none; padding: 0; }
  h2, h3 { break-after: avoid; } tr, .verdict, .warn, .headline, .pair { break-inside: avoid; }
  thead { display: table-header-group; } .scroll { overflow: visible; }
  table { font-size: 9pt; } details:not([open]) { display: none; }
  .films { display: flex; flex-wrap: wrap; gap: 10px; } figure { width: 31.5%; }
  figcaption { font-size: 8.5pt; }
  figure img, figure .none { height: 165px; }
}
"""
