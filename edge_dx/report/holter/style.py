"""What this page adds to the look of all reports; legible in grey on paper as well."""

CSS = """
svg.strip { display: block; max-width: none; margin: 2px 0 0; overflow: visible; }
.strip text { font-family: system-ui, "Liberation Sans", Arial, sans-serif; font-size: 2.6px;
  fill: #16202a; }
.strip .beat { font-size: 3.4px; font-weight: 600; text-anchor: middle; }
.strip .n { fill: #4a5763; font-weight: 400; } .strip .s { fill: #a04a00; }
.strip .v { fill: #b3001b; } .strip .f { fill: #6b2fa0; } .strip .q { fill: #16202a; }
.strip .rr { font-size: 2.3px; fill: #4a5763; text-anchor: middle; }
.strip .lead { font-size: 3px; font-weight: 700; stroke: #fff; stroke-width: .8px;
  paint-order: stroke; }
.strip .tick { fill: #4a5763; } .strip .why { font-weight: 600; }
.strip path { fill: none; }
.strip .fine { stroke: #f1d4d4; stroke-width: .1; }
.strip .big { stroke: #dea3a3; stroke-width: .18; }
.strip .trace { stroke: #0a0f14; stroke-width: 26; stroke-linejoin: round; }
.strip .mark { stroke: #0a0f14; stroke-width: .25; }
.strip .gone { fill: #c9cfd6; opacity: .7; } .strip .none { fill: #e3e7eb; }
.chart { display: block; width: 100%; height: auto; margin: 8px 0; }
.chart.small { max-width: 640px; }
.chart text { font: 13px system-ui, "Liberation Sans", Arial, sans-serif; fill: #16202a; }
.chart .name { text-anchor: end; } .chart .tick { text-anchor: middle; fill: #4a5763; }
.chart path { fill: none; } .chart .line { stroke: #d5dbe1; stroke-width: 1; }
.chart .plot { fill: #fff; stroke: #8a949e; }
.chart .range { fill: #b9d3e6; } .chart .mean { stroke: #0b4f7d; stroke-width: 1.8; }
.chart .lane { fill: #fff; stroke: #c3cad1; stroke-width: .8; }
.chart .alarm { stroke: #b3001b; stroke-width: 2; }
.af { fill: #e08a7d; } .chart .good { fill: #7fb08c; } .chart .gone { fill: #5d6873; }
.chart .noisy { fill: #c9a227; } .chart .held { fill: #c9a227; } .chart .settling { fill: #9aa5b0; }
.chart .invalid { fill: #a3202c; } .chart .lost { fill: #16202a; }
.bar.n { fill: #6d9dc0; } .bar.v { fill: #b3001b; } .bar.s { fill: #d17a22; }
.key { display: flex; flex-wrap: wrap; gap: 4px 18px; font-size: 13px; color: var(--soft);
  margin: 2px 0 12px; }
.key i { display: inline-block; width: 13px; height: 13px; margin-right: 6px; vertical-align: -2px;
  border: 1px solid #8a949e; }
.share { display: inline-block; height: 9px; margin-left: 8px; vertical-align: 0; }
.cut { break-inside: avoid; margin: 16px 0 20px; overflow-x: auto; }
.cut h3 { margin: 20px 0 4px; }
.cut .cut { margin: 0; } .cut .what { font-size: 14px; } .cut .what b { margin-right: 8px; }
.cut .what .where { color: var(--soft); }
.headline div.none { border-top-color: #8a949e; }
.headline b small { font-size: 15px; font-weight: 400; }
@media print {
  main > h2 { margin-top: 22px; } .note { font-size: 9pt; }
  .chart { break-before: avoid; break-inside: avoid; }
  .headline { gap: 6px; } .headline div { flex-basis: 22%; padding: 6px 8px; }
  .headline b { font-size: 15pt; } .headline span { font-size: 8.5pt; }
  .cut { margin: 8px 0 12px; overflow: visible; } .cut .what { font-size: 9pt; }
  .key { font-size: 8.5pt; } td, th { padding: 3px 8px 3px 5px; }
}
"""
