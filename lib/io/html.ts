/** The text with what HTML, XML and attributes in double or single quotes read as their own replaced. */
export function escapeHtml(text: string): string {
  const entities: Record<string, string> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' };
  return text.replace(/[&<>"']/g, (char) => entities[char] ?? char);
}

/** A table of these cells; the first row is the head, and all columns but the first `names` hold numbers. */
export function htmlTable(rows: readonly (readonly string[])[], names = 1): string {
  const [head = [], ...body] = rows;
  const cell = (tag: string) => (text: string, i: number) =>
    `<${tag}${i < names ? '' : ' class="n"'}>${escapeHtml(text)}</${tag}>`;
  const lines = body.map((row) => `<tr>${row.map(cell('td')).join('')}</tr>`);
  return `<table><tr>${head.map(cell('th')).join('')}</tr>\n${lines.join('\n')}\n</table>`;
}

/** A page that needs no other file. */
export function htmlPage(title: string, style: string, body: string): string {
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escapeHtml(title)}</title>
<style>${PAGE_STYLE}${style}</style>
</head>
<body>
${body}
</body>
</html>
`;
}

const PAGE_STYLE = `
body { font: 15px/1.5 system-ui, sans-serif; color: #1c1c1c; background: #fff; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; margin-bottom: 0.25rem; } h2 { font-size: 1.1rem; margin: 2.25rem 0 0.75rem; }
h3 { font-size: 0.95rem; margin: 1rem 0 0.25rem; font-weight: 600; }
p.about { color: #595959; margin-top: 0; }
table { border-collapse: collapse; width: 100%; } th { text-align: left; font-weight: 600; }
th, td { padding: 0.3rem 0.75rem 0.3rem 0; border-bottom: 1px solid #e3e3e3; }
th.n, td.n { text-align: right; font-variant-numeric: tabular-nums; }
`;
