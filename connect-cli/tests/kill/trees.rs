//! What is transferred, and what of it is at the destination.

use std::{
    fs::{self, File},
    io::Read as _,
    ops::Range,
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
};

use rustix::{
    fs::{FlockOperation, SeekFrom, flock, seek},
    io::Errno,
};

/// Sizes of the large files, bytes: each one from the part of this range that its number stands for.
const LARGE: Range<u64> = 96 << 20..256 << 20;
/// How many large files there are.
pub(crate) const LARGE_FILES: usize = 3;
/// Files of the tree of many.
const MANY: usize = 5000;
/// The directories that they are in.
const DIRECTORIES: usize = 10;

/// What one transfer carries: files that are pieces of the pool of random bytes.
#[derive(Debug)]
pub(crate) struct Tree {
    /// What the command names.
    pub(crate) name: String,
    files: Vec<(PathBuf, Range<usize>)>,
    pub(crate) bytes: u64,
}

impl Tree {
    fn new(name: String, files: Vec<(PathBuf, Range<usize>)>) -> Self {
        let bytes = files.iter().map(|(_, range)| range.len() as u64).sum();
        Self { name, files, bytes }
    }

    pub(crate) fn count(&self) -> u64 {
        self.files.len() as u64
    }
}

/// All trees, made from one seed; the files of each appear in the directories of both sides when it is first wanted.
#[derive(Debug)]
pub(crate) struct Trees {
    pool: Vec<u8>,
    /// The large files, and the tree of many.
    trees: Vec<Tree>,
    /// The directories that have the files.
    bases: [PathBuf; 2],
}

impl Trees {
    pub(crate) fn new(seed: u64, bases: [PathBuf; 2]) -> Self {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut pool = vec![0; LARGE.end as usize];
        random.fill(&mut pool);
        let step = (LARGE.end - LARGE.start) / LARGE_FILES as u64;
        let mut trees: Vec<_> = (0..LARGE_FILES)
            .map(|number| {
                let size = LARGE.start + step * number as u64 + random.u64(..step);
                let name = format!("large-{number}");
                Tree::new(name.clone(), vec![(name.into(), 0..size as usize)])
            })
            .collect();
        let files = (0..MANY).map(|number| {
            let size = match random.u32(..100) {
                // Too large to be made in one go (protocol §14.1).
                0 => random.usize(65_537..600_000),
                1..10 => random.usize(8_000..=65_536),
                _ => random.usize(..8_000),
            };
            let start = random.usize(..pool.len() - size);
            let path = format!("many/{}/{number}", number % DIRECTORIES);
            (path.into(), start..start + size)
        });
        let many = Tree::new("many".to_owned(), files.collect());
        trees.push(many);
        Self { pool, trees, bases }
    }

    /// A tree: the large files have the first numbers, behind them is that of many.
    pub(crate) fn tree(&self, number: usize) -> &Tree {
        let tree = &self.trees[number];
        let [first, second] = &self.bases;
        if !first.join(&tree.name).exists() {
            for (path, range) in &tree.files {
                for base in &self.bases {
                    fs::create_dir_all(base.join(path).parent().unwrap()).unwrap();
                }
                fs::write(first.join(path), &self.pool[range.clone()]).unwrap();
                fs::hard_link(first.join(path), second.join(path)).unwrap();
            }
        }
        tree
    }

    /// Looks at the destination: every file under a final name has to be the source's, byte by byte.
    pub(crate) fn look(&self, tree: &Tree, destination: &Path) -> Result<There, String> {
        let mut there = There::default();
        let mut buffer = vec![0; 1 << 20];
        for (path, range) in &tree.files {
            let path = destination.join(path);
            let Ok(mut file) = File::open(&path) else {
                continue;
            };
            if !is_same(&mut file, &self.pool[range.clone()], &mut buffer) {
                return Err(format!("{} is wrong", path.display()));
            }
            there.files += 1;
            there.bytes += range.len() as u64;
        }
        for path in unfinished(destination) {
            // What disappears meanwhile is not there.
            let Ok(file) = File::open(&path) else {
                continue;
            };
            match kind(&path) {
                Unfinished::Temporary => there.temporaries += 1,
                Unfinished::Partial => there.partial_bytes += data_of(&file),
                Unfinished::Checkpoint => {}
            }
        }
        Ok(there)
    }
}

fn is_same(file: &mut File, content: &[u8], buffer: &mut [u8]) -> bool {
    let mut rest = content;
    loop {
        let count = file.read(buffer).unwrap();
        match rest.split_at_checked(count) {
            Some((_, [])) if count == 0 => return true,
            Some((head, tail)) if count > 0 && head == &buffer[..count] => rest = tail,
            _ => return false,
        }
    }
}

/// What is at the destination.
#[derive(Debug, Default)]
pub(crate) struct There {
    /// Under final names.
    pub(crate) files: u64,
    pub(crate) bytes: u64,
    /// Written to partial files.
    pub(crate) partial_bytes: u64,
    /// Small files without their final names.
    pub(crate) temporaries: u64,
}

enum Unfinished {
    /// A small file on its way to its final name.
    Temporary,
    Partial,
    Checkpoint,
}

fn kind(path: &Path) -> Unfinished {
    let name = path.file_name().unwrap().to_string_lossy();
    match (name.starts_with('.'), name.contains(".aspera-ckpt")) {
        (true, _) => Unfinished::Temporary,
        (false, true) => Unfinished::Checkpoint,
        (false, false) => Unfinished::Partial,
    }
}

/// Everything beneath a directory whose name says that it is not finished.
pub(crate) fn unfinished(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    // What disappears meanwhile is not there.
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let path = entry.path();
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            found.extend(unfinished(&path));
        } else if name.ends_with(".partial") || name.ends_with(".aspera-ckpt") {
            found.push(path);
        }
    }
    found
}

/// Whether somebody still writes there: has a partial locked, or small files without their final names.
pub(crate) fn is_written(destination: &Path) -> bool {
    unfinished(destination).iter().any(|path| match kind(path) {
        Unfinished::Temporary => true,
        Unfinished::Checkpoint => false,
        Unfinished::Partial => File::open(path).is_ok_and(|file| {
            flock(&file, FlockOperation::NonBlockingLockShared) == Err(Errno::WOULDBLOCK)
        }),
    })
}

/// The file system counts whole blocks of at most so many bytes.
const BLOCK: usize = 4096;
/// Nothing random has so many zeros in a row.
const NEVER_WRITTEN: usize = 16;

/// Bytes of a file that were written: what is reserved and not written is a hole, or zero in a block that was written in part.
fn data_of(file: &File) -> u64 {
    let mut bytes = 0;
    let mut at = 0;
    let mut buffer = vec![0; 256 * BLOCK];
    // Behind the last byte there is a hole.
    while let Ok(start) = seek(file, SeekFrom::Data(at)) {
        let end = seek(file, SeekFrom::Hole(start)).unwrap();
        at = start;
        while at < end {
            let wanted = buffer.len().min((end - at) as usize);
            let count = file.read_at(&mut buffer[..wanted], at).unwrap();
            if count == 0 {
                return bytes;
            }
            let written: usize = buffer[..count].chunks(BLOCK).map(written).sum();
            bytes += written as u64;
            at += count as u64;
        }
    }
    bytes
}

/// Bytes of a block that were written; some at its edges that happen to be zero are not counted.
fn written(block: &[u8]) -> usize {
    let zeros = [0; NEVER_WRITTEN];
    if !block
        .chunks_exact(NEVER_WRITTEN / 2)
        .any(|piece| *piece == zeros[..piece.len()])
    {
        return block.len();
    }
    let runs = block.chunk_by(|a, b| *a == 0 && *b == 0);
    let mut at = 0;
    let unwritten = runs.map(|run| {
        let is_at_edge = at == 0 || at + run.len() == block.len();
        at += run.len();
        match run[0] == 0 && (is_at_edge || run.len() >= NEVER_WRITTEN) {
            true => run.len(),
            false => 0,
        }
    });
    block.len() - unwritten.sum::<usize>()
}

#[test]
fn only_what_was_written_counts() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.partial");
    let file = File::options()
        .read(true)
        .write(true)
        .create_new(true)
        .open(&path)
        .unwrap();
    let flags = rustix::fs::FallocateFlags::KEEP_SIZE;
    rustix::fs::fallocate(&file, flags, 0, 8 << 20).unwrap();
    assert_eq!(data_of(&file), 0);
    file.write_all_at(&[1; 65_536], 1 << 20).unwrap();
    file.write_all_at(&[1; 65_000], (4 << 20) + 100).unwrap();
    assert_eq!(data_of(&file), 130_536);
    file.sync_data().unwrap();
    assert_eq!(data_of(&file), 130_536);
}
