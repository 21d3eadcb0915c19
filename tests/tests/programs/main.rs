//! The programs and files that people get, from outside: what they print, answer, write and refuse.

mod architecture;
mod article;
mod check;
mod cloud;
mod containers;
mod deploy;
mod docs;
mod embed;
mod export;
mod files;
mod golden;
mod hostile;
mod lambda;
mod onnxruntime;
mod portable;
mod profile;
mod sealing;
mod service;
mod standard;
mod strings;
mod zoo;
