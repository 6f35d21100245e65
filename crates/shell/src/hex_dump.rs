//! Bytes in the frame that `get -x` shows.

/// Bytes in a row.
const WIDTH: usize = 16;

/// The frame around the dump of `bytes`, ending with a newline; of no bytes there is no dump.
#[must_use]
pub fn dump(bytes: &[u8]) -> String {
    if bytes.is_empty() {
        return String::from("\n");
    }
    let line = format!("+--------+{}+{}+\n", "-".repeat(49), "-".repeat(WIDTH));
    let numbers: String = (0..WIDTH).map(|n| format!("  {n:x}")).collect();
    let mut text = format!(
        "         +{}+\n         |{numbers} |\n{line}",
        "-".repeat(49)
    );
    for (row, bytes) in bytes.chunks(WIDTH).enumerate() {
        let hex: String = bytes.iter().map(|byte| format!(" {byte:02x}")).collect();
        let shown: String = bytes.iter().copied().map(visible).collect();
        let offset = row * WIDTH;
        text.push_str(&format!("|{offset:08x}|{hex:<48} |{shown:<16}|\n"));
    }
    text.push_str(&line);
    text
}

fn visible(byte: u8) -> char {
    match byte {
        0x20..=0x7e => char::from(byte),
        _ => '.',
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_frame_is_as_recorded() {
        let expected = "\
         +-------------------------------------------------+
         |  0  1  2  3  4  5  6  7  8  9  a  b  c  d  e  f |
+--------+-------------------------------------------------+----------------+
|00000000| e4 b8 ad e6 96 87 e6 95 b0 e6 8d ae             |............    |
+--------+-------------------------------------------------+----------------+
";
        let expected = format!("         {expected}");
        assert_eq!(dump("中文数据".as_bytes()), expected);
    }

    #[test]
    fn rows_hold_sixteen_bytes() {
        let text = dump(&[b'a'; 17]);
        let rows: Vec<_> = text.lines().filter(|line| line.starts_with("|0")).collect();
        assert_eq!(rows.len(), 2);
        assert!(rows[1].starts_with("|00000010| 61   "), "{}", rows[1]);
    }
}
