//! Just enough SVG for plots.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use benches::process::Failure;

/// Colours that stay apart for colour-blind eyes (Okabe and Ito); the first is ours.
pub(crate) const COLOURS: [&str; 7] = [
    "#d55e00", "#0072b2", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#777777",
];

pub(crate) const INK: &str = "#222222";
pub(crate) const FAINT: &str = "#d8d8d8";

#[derive(Debug, Clone, Copy)]
pub(crate) enum Anchor {
    Start,
    Middle,
    End,
}

/// How a line is drawn.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stroke<'a> {
    pub(crate) colour: &'a str,
    pub(crate) width: f64,
    pub(crate) is_dashed: bool,
}

/// A drawing on white.
#[derive(Debug)]
pub(crate) struct Svg {
    width: f64,
    height: f64,
    body: String,
}

impl Svg {
    pub(crate) fn new(width: f64, height: f64) -> Self {
        let body = String::new();
        let mut svg = Self {
            width,
            height,
            body,
        };
        svg.rect([0.0, 0.0, width, height], "#ffffff");
        svg
    }

    fn element(&mut self, text: std::fmt::Arguments<'_>) {
        // Writing to a `String` cannot fail.
        self.body.write_fmt(text).ok();
        self.body.push('\n');
    }

    /// A filled rectangle: left, top, width, height.
    pub(crate) fn rect(&mut self, [x, y, w, h]: [f64; 4], fill: &str) {
        self.element(format_args!(
            r#"<rect x="{x:.1}" y="{y:.1}" width="{w:.1}" height="{h:.1}" fill="{fill}"/>"#
        ));
    }

    pub(crate) fn circle(&mut self, [x, y]: [f64; 2], radius: f64, fill: &str) {
        self.element(format_args!(
            r#"<circle cx="{x:.1}" cy="{y:.1}" r="{radius}" fill="{fill}"/>"#
        ));
    }

    pub(crate) fn line(&mut self, points: &[[f64; 2]], stroke: Stroke<'_>) {
        let Stroke {
            colour,
            width,
            is_dashed,
        } = stroke;
        let dash = if is_dashed {
            r#" stroke-dasharray="5 4""#
        } else {
            ""
        };
        let mut path = String::new();
        for [x, y] in points {
            write!(path, "{x:.1},{y:.1} ").ok();
        }
        self.element(format_args!(
            r#"<polyline points="{}" fill="none" stroke="{colour}" stroke-width="{width}" stroke-linejoin="round"{dash}/>"#,
            path.trim_end()
        ));
    }

    pub(crate) fn text(
        &mut self,
        [x, y]: [f64; 2],
        anchor: Anchor,
        size: f64,
        fill: &str,
        text: &str,
    ) {
        let anchor = match anchor {
            Anchor::Start => "start",
            Anchor::Middle => "middle",
            Anchor::End => "end",
        };
        let text = text.replace('&', "&amp;").replace('<', "&lt;");
        self.element(format_args!(
            r#"<text x="{x:.1}" y="{y:.1}" text-anchor="{anchor}" font-size="{size}" fill="{fill}">{text}</text>"#
        ));
    }

    fn document(&self) -> String {
        let Self {
            width,
            height,
            body,
        } = self;
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\" \
             font-family=\"DejaVu Sans, Verdana, Arial, sans-serif\">\n{body}</svg>\n"
        )
    }

    /// Writes `NAME.svg`, and `NAME.png` when this program is built with the feature `png`.
    pub(crate) fn write(&self, dir: &Path, name: &str) -> Result<(), Failure> {
        let document = self.document();
        fs::write(dir.join(format!("{name}.svg")), &document)?;
        #[cfg(feature = "png")]
        {
            use resvg::{tiny_skia, usvg};
            let mut options = usvg::Options::default();
            options.fontdb_mut().load_system_fonts();
            let tree = usvg::Tree::from_str(&document, &options)?;
            // A drawing of ours is at most some thousand pixels wide.
            let mut pixels = tiny_skia::Pixmap::new(2 * self.width as u32, 2 * self.height as u32)
                .ok_or("no pixels")?;
            resvg::render(
                &tree,
                tiny_skia::Transform::from_scale(2.0, 2.0),
                &mut pixels.as_mut(),
            );
            pixels.save_png(dir.join(format!("{name}.png")))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_cannot_end_its_element() {
        let mut svg = Svg::new(10.0, 10.0);
        svg.text([0.0, 0.0], Anchor::Start, 9.0, INK, "a < b & c");
        assert!(svg.document().contains(">a &lt; b &amp; c</text>"));
    }
}
